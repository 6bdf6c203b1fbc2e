//! One TCP socket of an answer.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::answer::{u16_at, u32_at, u64_at};

/// A TCP connection as the kernel shows it. An IPv4 address in IPv6 (`::ffff:192.0.2.1`) is shown as IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpSocket {
    /// The address on this host.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Bytes that were received and not read.
    pub unread_bytes: u32,
    /// Bytes that were written and not acknowledged.
    pub unacknowledged_bytes: u32,
    /// More, if the kernel gave it.
    pub info: Option<TcpInfo>,
}

/// The part of `struct tcp_info` (tcp(7)) that is used here. What an older kernel does not know is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Segments that were sent again, in total.
    pub retransmits: u32,
    /// Segments were lost, and what was in flight then is not acknowledged yet.
    pub recovering: bool,
    /// Consecutive timeouts of the segment that is sent again now; 0 while there is none.
    pub timeouts: u8,
    /// Unanswered probes of a closed window; 0 while there is none.
    pub probes: u8,
    /// Segments in flight.
    pub in_flight: u32,
    /// Congestion window, in segments.
    pub congestion_window: u32,
    /// Bytes that were written and never sent.
    pub unsent_bytes: u32,
    /// Time since the last data was sent.
    pub since_sent: Duration,
    /// Time since the last acknowledgement was received.
    pub since_acknowledged: Duration,
    /// Time since the last data was received.
    pub since_received: Duration,
    /// Bytes that the peer has acknowledged.
    pub acknowledged_bytes: u64,
    /// Bytes that were received.
    pub received_bytes: u64,
    /// Time with data in flight or waiting to be sent.
    pub busy: Duration,
    /// The part of it in which the peer's receive window was the limit.
    pub window_limited: Duration,
    /// The part of it in which the send buffer was the limit.
    pub buffer_limited: Duration,
}

/// Size of `struct inet_diag_msg`.
const MESSAGE_BYTES: usize = 72;
const INET_DIAG_INFO: u16 = 2;
const AF_INET: u8 = 2;
/// The states of congestion control from this one on are recovery and loss.
const TCP_CA_RECOVERY: u8 = 3;

impl TcpSocket {
    /// Reads `struct inet_diag_msg` and the attributes behind it.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let family = *message.first()?;
        let address = |ip_at: usize, port_at: usize| {
            let port = u16::from_be_bytes(*message.get(port_at..)?.first_chunk()?);
            let ip: IpAddr = if family == AF_INET {
                Ipv4Addr::from(*message.get(ip_at..)?.first_chunk::<4>()?).into()
            } else {
                Ipv6Addr::from(*message.get(ip_at..)?.first_chunk::<16>()?).to_canonical()
            };
            Some(SocketAddr::new(ip, port))
        };
        Some(Self {
            local: address(8, 4)?,
            peer: address(24, 6)?,
            unread_bytes: u32_at(message, 56)?,
            unacknowledged_bytes: u32_at(message, 60)?,
            info: attribute(message.get(MESSAGE_BYTES..)?, INET_DIAG_INFO).map(TcpInfo::parse),
        })
    }
}

impl TcpInfo {
    /// Reads as much of `struct tcp_info` as there is.
    fn parse(info: &[u8]) -> Self {
        let byte = |at: usize| info.get(at).copied().unwrap_or(0);
        let number = |at| u32_at(info, at).unwrap_or(0);
        let long = |at| u64_at(info, at).unwrap_or(0);
        let millis = |at| Duration::from_millis(number(at).into());
        let micros = |at| Duration::from_micros(long(at));
        Self {
            recovering: byte(1) >= TCP_CA_RECOVERY,
            timeouts: byte(2),
            probes: byte(3),
            in_flight: number(24),
            since_sent: millis(44),
            since_received: millis(52),
            since_acknowledged: millis(56),
            rtt: Duration::from_micros(number(68).into()),
            congestion_window: number(80),
            retransmits: number(100),
            acknowledged_bytes: long(120),
            received_bytes: long(128),
            unsent_bytes: number(144),
            busy: micros(168),
            window_limited: micros(176),
            buffer_limited: micros(184),
        }
    }
}

/// The value of an attribute among `struct rtattr`s.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    const HEADER_BYTES: usize = 4;
    loop {
        let (length, kind) = (u16_at(rest, 0)? as usize, u16_at(rest, 2)?);
        let value = rest.get(HEADER_BYTES..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
        time::Duration,
    };

    use crate::sock_diag::{Include, Listed, SockDiag, TcpSocket};

    fn list(kernel: &SockDiag, port: u16, with: Include) -> Vec<TcpSocket> {
        let mut listed = Vec::new();
        let mut dump = kernel.dump(port, with, Duration::from_secs(5));
        loop {
            match dump.next_block(|socket| listed.push(socket)).expect("an answer") {
                None => {}
                Some(Listed::Whole) => return listed,
                // Sockets of other tests came and went.
                Some(Listed::Part) => return list(kernel, port, with),
            }
        }
    }

    /// A connection that has sent five bytes and received three, and its peer.
    fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let mut client =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (mut server, _) = listener.accept().expect("one waits");
        server.write_all(b"12345").expect("room");
        client.read_exact(&mut [0; 5]).expect("five bytes");
        client.write_all(b"123").expect("room");
        server.read_exact(&mut [0; 3]).expect("three bytes");
        (client, server)
    }

    #[test]
    fn connections_of_a_port_are_listed_and_found_one_by_one() {
        let kernel = SockDiag::open().expect("sock_diag");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let pairs: Vec<_> = (0..100).map(|_| pair(&listener)).collect();
        let listed = list(&kernel, port, Include::Info);
        // The clients' own ends have another local port.
        assert_eq!(listed.len(), pairs.len());
        for (client, server) in &pairs {
            let (peer, local) =
                (client.local_addr().expect("it"), server.local_addr().expect("it"));
            let socket = listed.iter().find(|socket| socket.peer == peer).expect("it is listed");
            let found = kernel.connection(local, peer).expect("it is open");
            for socket in [socket, &found] {
                assert_eq!((socket.local, socket.peer), (local, peer));
                assert_eq!((socket.unread_bytes, socket.unacknowledged_bytes), (0, 0));
                let info = socket.info.expect("struct tcp_info");
                assert_eq!(info.received_bytes, 3);
                assert!((5..=6).contains(&info.acknowledged_bytes), "{info:?}");
                assert!(info.rtt > Duration::ZERO, "{info:?}");
            }
        }
        let without = list(&kernel, port, Include::Queues);
        assert_eq!(without.len(), pairs.len());
        assert!(without.iter().all(|socket| socket.info.is_none()));
        let nowhere = ([127, 0, 0, 1], 1).into();
        assert_eq!(kernel.connection(([127, 0, 0, 1], port).into(), nowhere), None);
    }

    #[test]
    fn an_ipv4_connection_to_an_ipv6_listener_is_found_by_its_ipv4_addresses() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return };
        let port = listener.local_addr().expect("bound").port();
        let Ok(client) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        let _server = listener.accept().expect("one waits");
        let kernel = SockDiag::open().expect("sock_diag");
        let (local, peer) = (([127, 0, 0, 1], port).into(), client.local_addr().expect("it"));
        let listed = list(&kernel, port, Include::Info);
        assert_eq!(listed.iter().map(|socket| socket.peer).collect::<Vec<_>>(), [peer]);
        assert_eq!(kernel.connection(local, peer).map(|found| found.peer), Some(peer));
    }

    #[test]
    fn bytes_that_the_peer_does_not_take_are_seen_and_whose_fault_that_is() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (client, mut server) = pair(&listener);
        server.set_nonblocking(true).expect("Linux");
        while server.write(&[0; 4096]).is_ok() {}
        let kernel = SockDiag::open().expect("sock_diag");
        let (local, peer) = (server.local_addr().expect("it"), client.local_addr().expect("it"));
        let info = || kernel.connection(local, peer).and_then(|found| found.info).expect("open");
        let first = info();
        std::thread::sleep(Duration::from_millis(500));
        let second = info();
        assert!(second.unsent_bytes > 0, "{second:?}");
        // The window is closed: the kernel counts that, most of the time that passed.
        let limited = second.window_limited - first.window_limited;
        assert!(limited >= Duration::from_millis(250), "{first:?} {second:?}");
    }
}
