//! Closing connections whose clients hold buffers while memory is short, and what the log says of it.

use std::time::Duration;

use super::{INTERVAL, ladder::Pressure};
use crate::shard::PoolState;

/// An episode of closes ends when none followed for this long.
const QUIET_FOR: Duration = Duration::from_secs(10);

/// Reads in a row without a close that make up [`QUIET_FOR`].
const QUIET_READS: u32 = (QUIET_FOR.as_millis() / INTERVAL.as_millis()) as u32;

/// Closes connections that hold the most, and logs when an episode of closes begins and ends.
///
/// Connections check the limit themselves when they park; this finds what they could not: memory that
/// short batches in service took, and a limit that was lowered.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// Closes at the last read.
    evicted: u64,
    /// Closes before the episode, and reads in a row without one.
    episode: Option<(u64, u32)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Begun,
    Ended {
        /// Connections that were closed.
        closed: u64,
    },
}

impl Eviction {
    pub(super) fn run(&mut self, shards: &PoolState, pressure: Pressure) {
        let bytes_max = shards.config.borrow().eviction_bytes(shards.stats.len());
        for stats in &shards.stats {
            stats.evict_above(bytes_max);
        }
        let memory = pressure.memory;
        match self.read(shards.stats.iter().map(|stats| stats.evicted()).sum()) {
            None => {}
            Some(Change::Begun) => {
                tracing::warn!(
                    memory,
                    "memory for buffers is short: connections that hold the most are closed"
                );
            }
            Some(Change::Ended { closed }) => {
                tracing::info!(memory, closed, "memory for buffers is no longer short");
            }
        }
    }

    /// Reads the number of closes so far.
    fn read(&mut self, evicted: u64) -> Option<Change> {
        let before = std::mem::replace(&mut self.evicted, evicted);
        match &mut self.episode {
            None if evicted == before => None,
            None => {
                self.episode = Some((before, 0));
                Some(Change::Begun)
            }
            Some((_, quiet_reads)) if evicted > before => {
                *quiet_reads = 0;
                None
            }
            Some((begun, quiet_reads)) => {
                *quiet_reads += 1;
                let closed = evicted - *begun;
                (*quiet_reads >= QUIET_READS).then(|| {
                    self.episode = None;
                    Change::Ended { closed }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_logged_when_they_begin_and_when_none_followed_for_ten_seconds() {
        let mut eviction = Eviction::default();
        assert_eq!(eviction.read(0), None);
        assert_eq!(eviction.read(3), Some(Change::Begun));
        for _ in 1..QUIET_READS {
            assert_eq!(eviction.read(3), None);
        }
        assert_eq!(eviction.read(5), None, "the episode goes on");
        for _ in 1..QUIET_READS {
            assert_eq!(eviction.read(5), None);
        }
        assert_eq!(eviction.read(5), Some(Change::Ended { closed: 5 }));
        assert_eq!(eviction.read(5), None);
        assert_eq!(eviction.read(6), Some(Change::Begun));
    }
}
