//! A peer's address in 64 bits.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
};

/// The address of a connection's peer.
///
/// `Display` is the address, or `unix` over a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// A peer over a UNIX socket, or over a stream that has no addresses.
    Unix,
    /// An address and port.
    Ip(SocketAddr),
}

impl From<Option<SocketAddr>> for PeerAddress {
    fn from(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::Unix, Self::Ip)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.pad("unix"),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// What a row has of a peer. An IPv6 address does not fit, so the table of rows has it elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackedPeer {
    Address(PeerAddress),
    Elsewhere,
}

const ELSEWHERE: u64 = 1 << 63;
const V4: u64 = 1 << 62;

impl PackedPeer {
    pub(super) fn pack(peer: PeerAddress) -> u64 {
        match peer {
            PeerAddress::Unix => 0,
            PeerAddress::Ip(SocketAddr::V4(address)) => {
                V4 | u64::from(address.ip().to_bits()) << 16 | u64::from(address.port())
            }
            PeerAddress::Ip(SocketAddr::V6(_)) => ELSEWHERE,
        }
    }

    pub(super) fn unpack(bits: u64) -> Self {
        match bits {
            0 => Self::Address(PeerAddress::Unix),
            bits if bits & V4 != 0 => {
                let (ip, port) = (Ipv4Addr::from_bits((bits >> 16) as u32), bits as u16);
                Self::Address(PeerAddress::Ip(SocketAddrV4::new(ip, port).into()))
            }
            _ => Self::Elsewhere,
        }
    }
}

/// An address as peers are listed under: IPv4 in IPv6 (`::ffff:192.0.2.1`) is IPv4.
pub(super) fn canonical(peer: PeerAddress) -> PeerAddress {
    match peer {
        PeerAddress::Ip(address) => match address.ip().to_canonical() {
            ip @ IpAddr::V4(_) => PeerAddress::Ip(SocketAddr::new(ip, address.port())),
            IpAddr::V6(_) => peer,
        },
        PeerAddress::Unix => peer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_and_unix_fit_and_ipv6_is_elsewhere() {
        let address = |text: &str| PeerAddress::Ip(text.parse().expect("an address"));
        for peer in [
            PeerAddress::Unix,
            address("0.0.0.0:0"),
            address("255.255.255.255:65535"),
            address("10.1.2.3:80"),
        ] {
            assert_eq!(PackedPeer::unpack(PackedPeer::pack(peer)), PackedPeer::Address(peer));
        }
        let v6 = address("[2001:db8::1]:443");
        assert_eq!(PackedPeer::unpack(PackedPeer::pack(v6)), PackedPeer::Elsewhere);
        assert_eq!(canonical(address("[::ffff:10.1.2.3]:80")), address("10.1.2.3:80"));
        assert_eq!(canonical(v6), v6);
    }
}
