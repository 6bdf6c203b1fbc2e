//! The limit of unanswered bytes of a flooding connection.
//!
//! The kernel buffers megabytes per connection and direction, far more than keeps the connection busy.
//! With ten thousand connections to a server that is slower than the flood, those buffers exceed the
//! memory that the kernel gives to TCP, and it drops connections. The limit avoids that.

use serde::{Deserialize, Serialize};
use towline_units::{parse_count, parse_size};

use crate::error::LoadError;
use crate::host;

/// Bytes above which a limit has no effect: socket buffers hold no more.
const BYTES_MAX: u64 = 16 << 20;
/// The smallest automatic limit in bytes; with less, a flood becomes ping-pong.
const BYTES_MIN: u64 = 4 << 10;

/// The limit of bytes that each flooding connection has sent without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InFlightLimit {
    /// All connections together stay within half of the TCP memory at which the kernel begins to save
    /// memory (`net.ipv4.tcp_mem`).
    Auto,
    /// No limit but the socket buffers. Needed for a server that never replies.
    Off,
    /// This many bytes per connection.
    Bytes(u64),
}

impl InFlightLimit {
    /// Parses `auto`, `off` or a number of bytes such as `64k` or `64KiB`.
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
                    "`{text}` is not a limit of bytes in flight: expected auto, off or a size such as 64k or 64KiB"
                ))),
            },
        }
    }

    /// The limit in bytes for each of `connections`; `None` for no limit.
    pub(crate) fn bytes(self, connections: u32) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Auto => {
                let share = host::tcp_memory()? / 2 / u64::from(connections.max(1));
                (share < BYTES_MAX).then_some(share.max(BYTES_MIN))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_are_limited_and_few_are_not() {
        assert_eq!(InFlightLimit::Auto.bytes(1), None);
        let many = InFlightLimit::Auto.bytes(1_000_000).unwrap();
        assert!(many < InFlightLimit::Auto.bytes(10_000).unwrap_or(u64::MAX));
        assert_eq!(InFlightLimit::parse("64k").unwrap().bytes(5), Some(64_000));
        assert_eq!(InFlightLimit::parse("64KiB").unwrap().bytes(5), Some(65_536));
        assert_eq!(InFlightLimit::parse("off").unwrap().bytes(1_000_000), None);
        assert!(InFlightLimit::parse("0").is_err() && InFlightLimit::parse("much").is_err());
    }
}
