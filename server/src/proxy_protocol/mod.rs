//! The PROXY protocol, versions 1 and 2: the header in which a load balancer says whose connection it passes on.
//!
//! | file | holds |
//! |---|---|
//! | `header.rs` | what a header says |
//! | `v1.rs`, `v2.rs` | the text and the binary form |
//! | `tlv.rs` | the facts behind the addresses of version 2 |
//! | `crc32c.rs` | the checksum of version 2 |

mod crc32c;
mod error;
mod header;
mod tlv;
mod v1;
mod v2;

pub use self::{
    error::ProxyError,
    header::{Endpoint, Proxied, ProxiedTls},
};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    Incomplete,
    /// A header of this many bytes. What follows it belongs to the client.
    Header(Box<Proxied>, usize),
    /// No header: no byte of it was meant as one.
    Absent,
}

/// Most bytes behind the fixed part of a version 2 header: addresses and other facts.
pub const V2_BYTES_MAX: usize = 4096;

/// Most bytes of a header.
pub const HEADER_BYTES_MAX: usize = v2::FIXED_BYTES + V2_BYTES_MAX;

/// Parses the first bytes of a connection, as many as have come. A header is found however it is cut: what is a
/// beginning of one is [`Parsed::Incomplete`].
///
/// *Costs*: one pass over the header; memory for the facts of a complete one.
///
/// # Errors
/// When the bytes begin as a header does and are none. They must not be taken for anything else.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if begins(bytes, v2::SIGNATURE) {
        return v2::parse(bytes);
    }
    if begins(bytes, v1::PREFIX) {
        return v1::parse(bytes);
    }
    Ok(Parsed::Absent)
}

/// What a fuzzer checks of its input: no cut changes what a header is, and nothing is read past it.
///
/// # Panics
/// If that does not hold.
#[doc(hidden)]
pub fn check_laws(bytes: &[u8]) {
    let whole = parse(bytes);
    if let Ok(Parsed::Header(header, length)) = &whole {
        assert!(
            *length <= bytes.len() && *length <= HEADER_BYTES_MAX,
            "{length} of {}",
            bytes.len()
        );
        assert!(!header.local || header.source.is_none(), "{header:?}");
        for cut in 0..*length {
            assert_eq!(parse(&bytes[..cut]), Ok(Parsed::Incomplete), "cut at {cut}");
        }
        assert_eq!(parse(&bytes[..*length]), whole, "what follows does not matter");
    }
    // What is wrong or no header stays so, whatever follows; a beginning is bounded.
    let first = (0..=bytes.len()).find(|cut| parse(&bytes[..*cut]) != Ok(Parsed::Incomplete));
    match first {
        Some(cut) => assert_eq!(parse(&bytes[..cut]), whole, "decided after {cut} bytes"),
        None => assert!(bytes.len() < HEADER_BYTES_MAX, "it has no end"),
    }
}

/// Whether `bytes` begin with `prefix`, or are a beginning of it.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    let common = bytes.len().min(prefix.len());
    bytes[..common] == prefix[..common]
}
