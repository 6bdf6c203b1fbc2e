//! A full server: one log line when `limits.connections` is reached, one when it is left, and the flag
//! that `/readyz` reads.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use towline_config::Admission;
use towline_host::AcceptQueueReader;

use super::INTERVAL;
use crate::lifecycle::{ServerState, Stage};

/// The server counts as full until this part of its limit is free again, and at least one connection.
const FREE_FRACTION: usize = 32;

/// And until it has been free for this long without a break.
const FREE_FOR: Duration = Duration::from_secs(1);

/// Reads of the connection count that make up [`FREE_FOR`].
const FREE_READS: u32 = (FREE_FOR.as_millis() / INTERVAL.as_millis()) as u32;

/// Watches the connection limit of a server until dropped. Reads a few counters ten times a second.
pub async fn watch_connection_limit(state: &ServerState) {
    let mut episode = Episode::default();
    let mut full_since = Instant::now();
    loop {
        sleep(INTERVAL).await;
        // A server that drains takes no connections, full or not.
        if !state.lifecycle.is(Stage::Accepting) {
            continue;
        }
        let (connections, limit) = (state.slots.connections(), state.slots.limit());
        match episode.read(connections, limit) {
            None => {}
            Some(Change::Reached) => {
                full_since = Instant::now();
                state.set_full(true);
                log_reached(state, connections, limit);
            }
            Some(Change::Left) => {
                state.set_full(false);
                let seconds = full_since.elapsed().as_secs();
                tracing::info!(connections, limit, seconds, "connection limit left");
            }
        }
    }
}

fn log_reached(state: &ServerState, connections: usize, limit: usize) {
    match state.effective().settings.limits.admission {
        Admission::Reject => {
            tracing::warn!(connections, limit, "connection limit reached: new clients are refused");
        }
        _ => {
            let waiting = AcceptQueueReader::default().waiting(&state.ports());
            tracing::warn!(
                connections,
                limit,
                waiting,
                "connection limit reached: new clients wait until a connection ends"
            );
        }
    }
}

/// Where a server is in reaching and leaving its limit: pure arithmetic.
#[derive(Debug, Default)]
struct Episode {
    full: bool,
    /// Reads in a row at which enough was free.
    free_reads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Reached,
    Left,
}

impl Episode {
    fn read(&mut self, connections: usize, limit: usize) -> Option<Change> {
        if !self.full {
            self.full = connections >= limit;
            self.free_reads = 0;
            return self.full.then_some(Change::Reached);
        }
        let free = (limit / FREE_FRACTION).max(1);
        self.free_reads = if connections + free <= limit { self.free_reads + 1 } else { 0 };
        self.full = self.free_reads < FREE_READS;
        (!self.full).then_some(Change::Left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changes(limit: usize, reads: impl IntoIterator<Item = usize>) -> Vec<Change> {
        let mut episode = Episode::default();
        reads.into_iter().filter_map(|connections| episode.read(connections, limit)).collect()
    }

    #[test]
    fn the_limit_is_left_when_a_part_of_it_has_been_free_for_a_second() {
        let free = |connections, reads: u32| std::iter::repeat_n(connections, reads as usize);
        assert_eq!(changes(320, [319, 320, 320]), [Change::Reached]);
        assert_eq!(changes(320, [320].into_iter().chain(free(311, 99))), [Change::Reached]);
        assert_eq!(
            changes(320, [320].into_iter().chain(free(310, FREE_READS - 1))),
            [Change::Reached]
        );
        assert_eq!(
            changes(320, [320].into_iter().chain(free(310, FREE_READS))),
            [Change::Reached, Change::Left]
        );
        // One connection is enough where the limit is small.
        assert_eq!(
            changes(1, [1].into_iter().chain(free(0, FREE_READS))),
            [Change::Reached, Change::Left]
        );
    }

    #[test]
    fn a_limit_that_is_raised_is_left_and_one_that_is_lowered_is_reached() {
        let mut episode = Episode::default();
        assert_eq!(episode.read(5, 5), Some(Change::Reached));
        let left: Vec<_> = (0..FREE_READS).filter_map(|_| episode.read(5, 9)).collect();
        assert_eq!(left, [Change::Left]);
        assert_eq!(episode.read(5, 4), Some(Change::Reached));
    }

    proptest! {
        #[test]
        fn an_episode_lasts_a_second_at_least_and_changes_alternate(
            reads in prop::collection::vec(0_usize..=64, 0..400),
        ) {
            let mut episode = Episode::default();
            let mut last: Option<(usize, Change)> = None;
            for (at, connections) in reads.into_iter().enumerate() {
                let Some(change) = episode.read(connections, 64) else { continue };
                match (last, change) {
                    (None | Some((_, Change::Left)), Change::Reached) => {}
                    (Some((since, Change::Reached)), Change::Left) => {
                        prop_assert!(at - since >= FREE_READS as usize);
                    }
                    (last, change) => prop_assert!(false, "{change:?} after {last:?}"),
                }
                last = Some((at, change));
            }
        }
    }
}
