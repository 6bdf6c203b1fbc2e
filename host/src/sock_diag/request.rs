//! Questions: `struct nlmsghdr` with `struct inet_diag_req_v2` behind it.

use std::net::{IpAddr, SocketAddr};

use rustix::net::AddressFamily;

use super::{
    Include,
    answer::{HEADER_BYTES, SOCK_DIAG_BY_FAMILY},
};

const REQUEST_BYTES: usize = HEADER_BYTES + 56;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const TCP: u8 = 6;
/// The bit of `INET_DIAG_INFO`: with `struct tcp_info`.
const WITH_INFO: u8 = 1 << 1;
/// Any socket, whatever its cookie.
const NO_COOKIE: [u8; 8] = [0xFF; 8];

/// Bits of TCP states, as in `enum` of the kernel's `tcp_states.h`.
const ESTABLISHED: u32 = 1 << 1;
const FIN_WAIT1: u32 = 1 << 4;
const FIN_WAIT2: u32 = 1 << 5;
const CLOSE_WAIT: u32 = 1 << 8;
const LISTEN: u32 = 1 << 10;

/// One question.
#[derive(Debug)]
pub(super) struct Request([u8; REQUEST_BYTES]);

impl Request {
    /// The listening sockets of a family on `port`.
    pub(super) fn listeners(family: AddressFamily, port: u16) -> Self {
        Self::dump(family, LISTEN, 0, port)
    }

    /// The connections of a family with the local `port` that a process may have open.
    pub(super) fn connections(family: AddressFamily, port: u16, with: Include) -> Self {
        let states = ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT;
        let with = if with == Include::Info { WITH_INFO } else { 0 };
        Self::dump(family, states, with, port)
    }

    /// The connection between two addresses of one family.
    pub(super) fn connection(local: SocketAddr, peer: SocketAddr) -> Option<Self> {
        let (family, local_ip, peer_ip) = match (local.ip(), peer.ip()) {
            (IpAddr::V4(local), IpAddr::V4(peer)) => {
                (AddressFamily::INET, widen(&local.octets()), widen(&peer.octets()))
            }
            (IpAddr::V6(local), IpAddr::V6(peer)) => {
                (AddressFamily::INET6, local.octets(), peer.octets())
            }
            _ => return None,
        };
        let mut request = Self::new(NLM_F_REQUEST, family, u32::MAX, WITH_INFO, local.port());
        request.put(HEADER_BYTES + 10, &peer.port().to_be_bytes());
        request.put(HEADER_BYTES + 12, &local_ip);
        request.put(HEADER_BYTES + 28, &peer_ip);
        request.put(HEADER_BYTES + 48, &NO_COOKIE);
        Some(request)
    }

    fn dump(family: AddressFamily, states: u32, with: u8, port: u16) -> Self {
        Self::new(NLM_F_REQUEST | NLM_F_DUMP, family, states, with, port)
    }

    fn new(flags: u16, family: AddressFamily, states: u32, with: u8, port: u16) -> Self {
        let mut request = Self([0; REQUEST_BYTES]);
        request.put(0, &(REQUEST_BYTES as u32).to_ne_bytes());
        request.put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.put(6, &flags.to_ne_bytes());
        request.put(HEADER_BYTES, &[family.as_raw() as u8, TCP, with]);
        request.put(HEADER_BYTES + 4, &states.to_ne_bytes());
        request.put(HEADER_BYTES + 8, &port.to_be_bytes());
        request
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An IPv4 address in the place of an IPv6 address.
fn widen(octets: &[u8; 4]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..4].copy_from_slice(octets);
    wide
}
