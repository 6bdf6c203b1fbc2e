//! The PROXY header with which connections begin, as those of a load balancer do.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// Most clients that are made up.
const CLIENTS_MAX: u32 = 65_536;

/// The first client port: below are those of services.
const PORT_FIRST: u16 = 1024;

/// What the headers say. All are of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyHeader {
    /// `LOCAL`: a connection of the balancer itself, as its health checks are.
    Local,
    /// Made-up clients of an IPv4 network, in turn.
    Clients {
        /// The first address.
        first: Ipv4Addr,
        /// Addresses, at most 65,536.
        count: u32,
    },
}

impl ProxyHeader {
    /// Parses `local`, or a network such as `198.18.0.0/15`, of which at most 65,536 addresses are used.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        if text == "local" {
            return Ok(Self::Local);
        }
        let wrong = || {
            LoadError::usage(format!(
                "`{text}` names no clients: expected an IPv4 network such as 198.18.0.0/15, or local"
            ))
        };
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_error| wrong())?;
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(wrong)?;
        let host_bits = u32::MAX.checked_shr(prefix).unwrap_or(0);
        if address.to_bits() & host_bits != 0 {
            return Err(wrong());
        }
        let size = host_bits.saturating_add(1);
        Ok(Self::Clients { first: address, count: size.min(CLIENTS_MAX) })
    }

    /// The client of connection `id`.
    pub fn client(self, id: u32) -> Option<SocketAddrV4> {
        let Self::Clients { first, count } = self else { return None };
        let (turn, at) = (id / count.max(1), id % count.max(1));
        let ports = u32::from(u16::MAX - PORT_FIRST) + 1;
        let port = PORT_FIRST + (turn % ports) as u16;
        Some(SocketAddrV4::new(Ipv4Addr::from_bits(first.to_bits().wrapping_add(at)), port))
    }

    /// The header of connection `id`.
    pub fn bytes(self, id: u32) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        match self.client(id) {
            // Version 2 and the command, no family, nothing more.
            None => bytes.extend([0x20, 0, 0, 0]),
            Some(client) => {
                // TCP over IPv4, and 12 bytes of addresses: what the client connected to is of no interest.
                bytes.extend([0x21, 0x11, 0, 12]);
                bytes.extend(client.ip().octets());
                bytes.extend(Ipv4Addr::LOCALHOST.octets());
                bytes.extend(client.port().to_be_bytes());
                bytes.extend(9000_u16.to_be_bytes());
            }
        }
        bytes
    }
}
