//! A connection as its shard has it.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use towline_middleware::{
    connections::{ConnectionRow, PeerAddress},
    stats::{Nanos, State},
};

use super::nanos;
use crate::counts::PublicId;

/// An open connection, without what only the kernel knows. Times are until it was read, because processes
/// have clocks of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRow {
    /// What it is called.
    pub id: PublicId,
    /// The peer's address.
    pub peer: PeerAddress,
    /// What it does.
    pub state: State,
    /// For how long.
    pub state_for: Duration,
    /// Since it was opened.
    pub age: Duration,
    /// Lines taken from its peer.
    pub lines: u64,
    /// How long it has waited for its peer to take replies, in total and now.
    pub write_wait: Duration,
    /// Bytes that it buffers.
    pub buffered_bytes: u32,
    /// The most bytes that it ever buffered.
    pub buffered_bytes_max: u32,
}

impl ListedRow {
    pub(super) fn new(id: PublicId, row: &ConnectionRow, now: Nanos) -> Self {
        let since = |at: Nanos| Duration::from_nanos(now.0.saturating_sub(at.0));
        Self {
            id,
            peer: row.peer,
            state: row.state,
            state_for: since(row.since),
            age: since(row.opened),
            lines: row.lines,
            write_wait: row.write_wait,
            buffered_bytes: row.buffered_bytes,
            buffered_bytes_max: row.buffered_bytes_max,
        }
    }

    /// How long it has been idle, if it is.
    pub(super) fn idle(&self) -> Option<Duration> {
        (self.state == State::Idle).then_some(self.state_for)
    }

    /// Replies that the kernel has not taken.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        if self.state == State::WriteWait { self.buffered_bytes.into() } else { 0 }
    }
}

impl ListedRow {
    /// Bytes of an encoded row.
    pub const BYTES: usize = 68;

    /// Appends the row as [`BYTES`](Self::BYTES) bytes.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let (kind, ip, port) = match self.peer {
            PeerAddress::Unix => (0, Ipv6Addr::UNSPECIFIED, 0),
            PeerAddress::Ip(address) => match address.ip() {
                IpAddr::V4(ip) => (4, ip.to_ipv6_mapped(), address.port()),
                IpAddr::V6(ip) => (6, ip, address.port()),
            },
        };
        bytes.extend((self.id.worker as u32).to_le_bytes());
        bytes.extend(self.id.serial.to_le_bytes());
        bytes.push(kind);
        bytes.extend(ip.octets());
        bytes.extend(port.to_le_bytes());
        bytes.push(self.state as u8);
        for time in [self.state_for, self.age, self.write_wait] {
            bytes.extend(nanos(time).to_le_bytes());
        }
        bytes.extend(self.lines.to_le_bytes());
        bytes.extend(self.buffered_bytes.to_le_bytes());
        bytes.extend(self.buffered_bytes_max.to_le_bytes());
    }

    /// Reads an encoded row.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let mut rest = &bytes[..];
        let worker = u32::from_le_bytes(take(&mut rest)?) as usize;
        let serial = u32::from_le_bytes(take(&mut rest)?);
        let [kind] = take(&mut rest)?;
        let ip = Ipv6Addr::from(take::<16>(&mut rest)?);
        let port = u16::from_le_bytes(take(&mut rest)?);
        let [state] = take(&mut rest)?;
        let peer = match kind {
            0 => PeerAddress::Unix,
            4 => PeerAddress::Ip(SocketAddr::new(ip.to_ipv4_mapped()?.into(), port)),
            _ => PeerAddress::Ip(SocketAddr::new(ip.into(), port)),
        };
        let mut time = || Some(Duration::from_nanos(u64::from_le_bytes(take(&mut rest)?)));
        let (state_for, age, write_wait) = (time()?, time()?, time()?);
        Some(Self {
            id: PublicId { worker, serial },
            peer,
            state: *State::ALL.get(usize::from(state))?,
            state_for,
            age,
            write_wait,
            lines: u64::from_le_bytes(take(&mut rest)?),
            buffered_bytes: u32::from_le_bytes(take(&mut rest)?),
            buffered_bytes_max: u32::from_le_bytes(take(&mut rest)?),
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_encoding_and_decoding() {
        for peer in [None, Some("10.1.2.3:80"), Some("[2001:db8::1]:65535")] {
            let row = ListedRow {
                id: PublicId { worker: 103, serial: u32::MAX },
                peer: peer.map(|peer| peer.parse().expect("an address")).into(),
                state: State::WriteWait,
                state_for: Duration::from_nanos(1),
                age: Duration::from_secs(1 << 30),
                lines: 1 << 40,
                write_wait: Duration::from_millis(7),
                buffered_bytes: 9,
                buffered_bytes_max: 10,
            };
            let mut bytes = Vec::new();
            row.encode(&mut bytes);
            let bytes = bytes.as_slice().try_into().expect("its length");
            assert_eq!(ListedRow::decode(bytes), Some(row));
        }
        assert_eq!(ListedRow::decode(&[0xFF; ListedRow::BYTES]), None);
    }
}
