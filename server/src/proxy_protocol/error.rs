//! What can be wrong with a header.

use std::fmt;

/// Why the bytes that begin as a PROXY header are none. `Display` follows "the PROXY header".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// A line of version 1 that is longer than 107 bytes.
    LineTooLong,
    /// A line of version 1 that has not the parts of one.
    MalformedLine,
    /// An address or port of version 1 that is none.
    MalformedAddress,
    /// A version, command, family or protocol that version 2 does not define.
    Unknown(u8),
    /// A length of version 2 above the limit.
    TooLong(u16),
    /// A length of version 2 with no room for the addresses.
    TooShort(u16),
    /// A fact of version 2 that is longer than what is left, or not of its form.
    MalformedTlv(u8),
    /// A checksum that is not that of the header.
    WrongChecksum,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => f.write_str("has no end within 107 bytes"),
            Self::MalformedLine => {
                f.write_str("is malformed, expected \"PROXY TCP4 SOURCE DESTINATION PORT PORT\"")
            }
            Self::MalformedAddress => f.write_str("has an address or port that is none"),
            Self::Unknown(byte) => {
                write!(f, "has the unknown version, command or family {byte:#04x}")
            }
            Self::TooLong(bytes) => {
                write!(f, "is {bytes} bytes long, more than {}", super::V2_BYTES_MAX)
            }
            Self::TooShort(bytes) => write!(f, "has {bytes} bytes, too few for its addresses"),
            Self::MalformedTlv(kind) => write!(f, "has a malformed field of type {kind:#04x}"),
            Self::WrongChecksum => f.write_str("has a checksum that is not its own"),
        }
    }
}

impl std::error::Error for ProxyError {}
