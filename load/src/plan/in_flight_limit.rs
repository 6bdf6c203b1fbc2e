//! How much a flood may have unanswered.
//!
//! A pipe is full long before it holds what the kernel would let it hold: megabytes in each direction.
//! Ten thousand such pipes to a server that is slower than the flood need more memory than the kernel
//! gives to TCP, and then it drops connections. So the flood keeps every pipe full, but not overfull.

use serde::{Deserialize, Serialize};
use towline_units::{parse_count, parse_size};

use crate::error::LoadError;
use crate::host;

/// Above this a bound changes nothing: a pipe holds no more.
const NO_BOUND: u64 = 16 << 20;
/// Below this a flood would be a ping-pong.
const LEAST: u64 = 4 << 10;

/// A bound on the bytes each flooding connection has sent without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InFlightLimit {
    /// So much that all connections together stay within half of what the kernel gives to TCP before
    /// it saves memory (`net.ipv4.tcp_mem`).
    Auto,
    /// No bound but the sockets' buffers: what a server that never replies needs.
    Off,
    /// So many bytes.
    Bytes(u64),
}

impl InFlightLimit {
    /// Reads `auto`, `off` or a number of bytes such as `64k` or `64KiB`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            // A count first: `64k` is 64,000 bytes to this flag, as it always was.
            _ => match parse_count(text).or_else(|_no_count| parse_size(text)) {
                Ok(bytes @ 1..) => Ok(Self::Bytes(bytes)),
                _ => Err(LoadError::usage(format!(
                    "`{text}` is not a bound for bytes in flight: expected auto, off or a size such as 64k or 64KiB"
                ))),
            },
        }
    }

    /// The bound for each of so many connections; `None` where there is none.
    pub(crate) fn bytes(self, connections: u32) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Auto => {
                let share = host::tcp_memory()? / 2 / u64::from(connections.max(1));
                (share < NO_BOUND).then_some(share.max(LEAST))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_not_bounded_and_many_are() {
        assert_eq!(InFlightLimit::Auto.bytes(1), None);
        let many = InFlightLimit::Auto.bytes(1_000_000).unwrap();
        assert!(many < InFlightLimit::Auto.bytes(10_000).unwrap_or(u64::MAX));
        assert_eq!(InFlightLimit::parse("64k").unwrap().bytes(5), Some(64_000));
        assert_eq!(InFlightLimit::parse("64KiB").unwrap().bytes(5), Some(65_536));
        assert_eq!(InFlightLimit::parse("off").unwrap().bytes(1_000_000), None);
        assert!(InFlightLimit::parse("0").is_err() && InFlightLimit::parse("much").is_err());
    }
}
