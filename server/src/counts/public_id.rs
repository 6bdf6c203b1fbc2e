//! What a connection is called outside of the server.

use std::{fmt, num::ParseIntError, str::FromStr};

/// A connection's name in the log, in lists and in commands: the label `worker` of its shard, and its number
/// there, as in `0-17`.
///
/// Numbers count from 1. Those of a worker process that was started again count from
/// ten million times the number of its restarts, so that the name of a connection of the process
/// before is not soon another's. They wrap at 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId {
    /// The shard, counted over all processes.
    pub worker: usize,
    /// Its number on the shard.
    pub serial: u32,
}

/// Connections that a shard serves before the numbers of a process started after it meet its own.
const SERIALS_PER_START: u32 = 10_000_000;

/// Where the shards of a process stand among those of all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessPlace {
    /// The label `worker` of its first shard.
    pub first_worker: usize,
    /// How often the process was started again.
    pub restarts: u64,
}

impl ProcessPlace {
    /// The number of the first connection of each shard.
    pub fn first_serial(self) -> u32 {
        // Bounded by the remainder.
        let starts = (self.restarts % u64::from(u32::MAX / SERIALS_PER_START)) as u32;
        starts * SERIALS_PER_START + 1
    }

    /// The public name of the connection `serial` of a shard, counted in its process.
    pub const fn name(self, shard: usize, serial: u32) -> PublicId {
        PublicId { worker: self.first_worker + shard, serial }
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.serial)
    }
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId(String);

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no connection: expected an id such as 0-17", self.0)
    }
}

impl std::error::Error for InvalidId {}

impl FromStr for PublicId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (worker, serial) = text.split_once('-').ok_or_else(|| InvalidId(text.to_owned()))?;
        let invalid = |_: ParseIntError| InvalidId(text.to_owned());
        Ok(Self {
            worker: worker.parse().map_err(invalid)?,
            serial: serial.parse().map_err(invalid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_another_text_is_refused_with_what_was_expected() {
        let place = ProcessPlace { first_worker: 4, restarts: 2 };
        let id = place.name(1, place.first_serial());
        assert_eq!(id.to_string(), "5-20000001");
        assert_eq!("5-20000001".parse(), Ok(id));
        for text in ["", "5", "5-", "-5", "5-1-2", "5-4294967296", "a-1", " 5-1"] {
            let refused = text.parse::<PublicId>().expect_err("it is no id").to_string();
            assert_eq!(refused, format!("{text:?} is no connection: expected an id such as 0-17"));
        }
    }

    #[test]
    fn the_first_serial_is_never_zero_and_never_overflows() {
        for restarts in [0, 1, 428, 429, u64::MAX] {
            let first = ProcessPlace { first_worker: 0, restarts }.first_serial();
            assert!(first >= 1 && first % SERIALS_PER_START == 1, "{restarts}: {first}");
        }
    }
}
