//! Version 2: binary, with a length.

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{Endpoint, Parsed, Proxied, ProxyError, V2_BYTES_MAX, tlv};

/// How a header begins: no line of text does.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family and protocol, and the length of the rest.
pub(super) const FIXED_BYTES: usize = 16;

/// `struct sockaddr_un` on each end.
const UNIX_PATH_BYTES: usize = 108;

/// Parses bytes that begin with [`SIGNATURE`] or are a beginning of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let mut proxied = Proxied::default();
    // Each byte is judged when it comes: a header that is wrong need not be waited for.
    if let Some(version) = bytes.get(12) {
        match version {
            0x20 => proxied.local = true,
            0x21 => {}
            other => return Err(ProxyError::Unknown(*other)),
        }
    }
    let Some(family) = bytes.get(13).copied() else { return Ok(Parsed::Incomplete) };
    let address_bytes = match family {
        // Unspecified, by any protocol; and datagrams, which say nothing of a connection.
        0x00..=0x02 | 0x12 | 0x22 | 0x32 => 0,
        0x10 | 0x11 => 2 * (4 + 2),
        0x20 | 0x21 => 2 * (16 + 2),
        0x30 | 0x31 => 2 * UNIX_PATH_BYTES,
        other => return Err(ProxyError::Unknown(other)),
    };
    let Some(length) = bytes.get(14..FIXED_BYTES) else { return Ok(Parsed::Incomplete) };
    let length = u16::from_be_bytes([length[0], length[1]]);
    if usize::from(length) > V2_BYTES_MAX {
        return Err(ProxyError::TooLong(length));
    }
    // A balancer's own connection may have any family, and no addresses.
    let address_bytes = if proxied.local { 0 } else { address_bytes };
    if usize::from(length) < address_bytes {
        return Err(ProxyError::TooShort(length));
    }
    let whole = FIXED_BYTES + usize::from(length);
    let Some(header) = bytes.get(..whole) else { return Ok(Parsed::Incomplete) };
    if !proxied.local {
        let (addresses, facts) = header[FIXED_BYTES..].split_at(address_bytes);
        if let Some((source, destination)) = ends(addresses) {
            (proxied.source, proxied.destination) = (Some(source), Some(destination));
        }
        // Behind an unspecified family the addresses have a length that nothing says.
        if address_bytes > 0 {
            tlv::read(header, facts, &mut proxied)?;
        }
    }
    Ok(Parsed::Header(Box::new(proxied), whole))
}

fn ends(addresses: &[u8]) -> Option<(Endpoint, Endpoint)> {
    if let Ok(both) = <[u8; 12]>::try_from(addresses) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = both;
        let end =
            |ip: [u8; 4], port| Endpoint::Ip((Ipv4Addr::from(ip), u16::from_be_bytes(port)).into());
        return Some((end([a, b, c, d], [i, j]), end([e, f, g, h], [k, l])));
    }
    if addresses.len() == 36 {
        let (source, rest) = addresses.split_first_chunk::<16>()?;
        let (destination, ports) = rest.split_first_chunk::<16>()?;
        let end = |ip: [u8; 16], port: [u8; 2]| {
            Endpoint::Ip((Ipv6Addr::from(ip), u16::from_be_bytes(port)).into())
        };
        let [a, b, c, d] = *ports else { return None };
        return Some((end(*source, [a, b]), end(*destination, [c, d])));
    }
    if addresses.len() == 2 * UNIX_PATH_BYTES {
        let (source, destination) = addresses.split_at(UNIX_PATH_BYTES);
        return Some((path(source), path(destination)));
    }
    None
}

/// The path of a UNIX socket, which ends at its first zero byte.
fn path(bytes: &[u8]) -> Endpoint {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Endpoint::Unix(PathBuf::from(OsStr::from_bytes(&bytes[..end])))
}
