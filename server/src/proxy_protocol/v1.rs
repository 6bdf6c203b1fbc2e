//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Endpoint, Parsed, Proxied, ProxyError};

/// How a line begins. No longer than that, so that `PROXYING` of some line protocol is not taken for one.
pub(super) const PREFIX: &[u8] = b"PROXY ";

/// Longest line, its end included.
pub(super) const LINE_BYTES_MAX: usize = 107;

/// Parses bytes that begin with [`PREFIX`] or are a beginning of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let within = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        let full = within.len() == LINE_BYTES_MAX;
        return if full { Err(ProxyError::LineTooLong) } else { Ok(Parsed::Incomplete) };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(ProxyError::MalformedLine)?;
    let text = line.get(PREFIX.len()..).and_then(|rest| std::str::from_utf8(rest).ok());
    let text = text.ok_or(ProxyError::MalformedLine)?;
    Ok(Parsed::Header(Box::new(addresses(text)?), end + 1))
}

fn addresses(text: &str) -> Result<Proxied, ProxyError> {
    let (family, rest) = text.split_once(' ').unwrap_or((text, ""));
    // What follows is to be ignored.
    if family == "UNKNOWN" {
        return Ok(Proxied::default());
    }
    let parts: Vec<&str> = rest.split(' ').collect();
    let [source, destination, source_port, destination_port] = parts[..] else {
        return Err(ProxyError::MalformedLine);
    };
    let ip = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            _ => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        }
    };
    if !matches!(family, "TCP4" | "TCP6") {
        return Err(ProxyError::MalformedLine);
    }
    let end = |address, port_text| -> Option<Endpoint> {
        Some(Endpoint::Ip((ip(address)?, port(port_text)?).into()))
    };
    let source = end(source, source_port).ok_or(ProxyError::MalformedAddress)?;
    let destination = end(destination, destination_port).ok_or(ProxyError::MalformedAddress)?;
    Ok(Proxied { source: Some(source), destination: Some(destination), ..Proxied::default() })
}

/// A port in decimal, without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero { text.parse().ok() } else { None }
}
