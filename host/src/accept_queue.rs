//! The accept queues of a port, read from the kernel's socket diagnostics (sock_diag(7)).
//!
//! `/proc/net/tcp` has the same numbers, but the kernel walks its table of all connections for it,
//! which takes half a millisecond even when the table is empty. The request made here is for the
//! listening sockets of one port, so the kernel visits only those.

use std::os::fd::OwnedFd;

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

/// The sum over all accept queues of a port: SO_REUSEPORT gives it several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that wait to be accepted.
    pub length: u64,
    /// Most connections that may wait. 0 where the kernel does not answer.
    pub limit: u64,
}

/// A socket to the kernel's diagnostics. Where the kernel refuses one, all numbers are 0.
#[derive(Debug)]
pub struct AcceptQueueReader {
    // Kept open, so that a scrape needs no descriptor when there are none.
    kernel: Option<OwnedFd>,
}

impl Default for AcceptQueueReader {
    fn default() -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
            .inspect_err(
                |error| tracing::debug!(%error, "the lengths of accept queues cannot be read"),
            );
        Self { kernel: kernel.ok() }
    }
}

impl AcceptQueueReader {
    /// Connections that wait to be accepted on `port`, if the kernel answers. Costs a few system calls.
    pub fn waiting(&self, port: u16) -> Option<u64> {
        let queue = self.read(port);
        (queue.limit > 0).then_some(queue.length)
    }

    /// The accept queues of `port` now.
    pub fn read(&self, port: u16) -> AcceptQueue {
        let mut queue = AcceptQueue::default();
        let Some(kernel) = &self.kernel else { return queue };
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            // After an error the answer is incomplete; the next scrape asks again.
            let _ = ask(kernel, family, port, &mut queue);
        }
        queue
    }
}

/// Most blocks read for one answer. A block holds some sixty listening sockets.
const BLOCKS_MAX: usize = 64;

/// Size of the buffer for one block of an answer.
const BLOCK_BYTES: usize = 8 * 1024;

fn ask(
    kernel: &OwnedFd,
    family: AddressFamily,
    port: u16,
    queue: &mut AcceptQueue,
) -> Result<(), Errno> {
    send(kernel, &request(family, port), SendFlags::empty())?;
    let mut block = [0; BLOCK_BYTES];
    for _ in 0..BLOCKS_MAX {
        let (length, _) = recv(kernel, &mut block[..], RecvFlags::empty())?;
        if add(&block[..length], queue) == Answer::Complete {
            break;
        }
    }
    Ok(())
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;

/// Size of `struct nlmsghdr`, and with `struct inet_diag_req_v2` behind it.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;

/// The request for all listening TCP sockets of a family on `port`.
fn request(family: AddressFamily, port: u16) -> [u8; REQUEST_BYTES] {
    const NLM_F_REQUEST: u16 = 0x1;
    const NLM_F_DUMP: u16 = 0x300;
    const TCP: u8 = 6;
    const LISTENING: u32 = 1 << 10;
    let mut request = [0; REQUEST_BYTES];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(REQUEST_BYTES as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    put(HEADER_BYTES, &[family.as_raw() as u8, TCP]);
    put(HEADER_BYTES + 4, &LISTENING.to_ne_bytes());
    put(HEADER_BYTES + 8, &port.to_be_bytes());
    request
}

/// Whether a block is the last one of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Complete,
    MoreFollows,
}

/// Adds the queues in one block of an answer.
fn add(block: &[u8], queue: &mut AcceptQueue) -> Answer {
    /// Offsets of `idiag_rqueue` and `idiag_wqueue` of `struct inet_diag_msg`, behind the header. For a
    /// listening socket they hold the length of its queue and the limit.
    const QUEUE: usize = HEADER_BYTES + 56;
    const LIMIT: usize = HEADER_BYTES + 60;
    let mut rest = block;
    while rest.len() >= HEADER_BYTES {
        let length = number(rest, 0).map_or(0, |length| length as usize);
        let message = &rest[..length.clamp(HEADER_BYTES, rest.len())];
        match u16::from_ne_bytes([rest[4], rest[5]]) {
            NLMSG_DONE | NLMSG_ERROR => return Answer::Complete,
            SOCK_DIAG_BY_FAMILY => {
                queue.length += u64::from(number(message, QUEUE).unwrap_or(0));
                queue.limit += u64::from(number(message, LIMIT).unwrap_or(0));
            }
            _ => {}
        }
        // Messages are aligned to four bytes.
        rest = rest.get(message.len().next_multiple_of(4)..).unwrap_or(&[]);
    }
    Answer::MoreFollows
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn listener(address: SocketAddr, backlog: i32) -> (Socket, SocketAddr) {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("Linux");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(backlog).expect("bound");
        let address = socket.local_addr().expect("bound").as_socket().expect("TCP");
        (socket, address)
    }

    #[test]
    fn lengths_and_limits_of_all_listeners_of_a_port_are_added() {
        let kernel = AcceptQueueReader::default();
        let (first, address) = listener((Ipv4Addr::LOCALHOST, 0).into(), 7);
        let waiting: Vec<_> =
            (0..5).map(|_| TcpStream::connect(address).expect("room in the queue")).collect();
        assert_eq!(kernel.read(address.port()), AcceptQueue { length: 5, limit: 7 });

        let (_second, _) = listener(address, 9);
        assert_eq!(kernel.read(address.port()), AcceptQueue { length: 5, limit: 16 });
        // An accepted connection is on the same port and no longer waits.
        let _accepted = first.accept().expect("one waits");
        assert_eq!(kernel.read(address.port()).length, 4);
        drop(waiting);
    }

    #[test]
    fn a_listener_of_ipv6_is_found_where_there_is_ipv6() {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            return;
        }
        let (_listener, address) = listener((Ipv6Addr::LOCALHOST, 0).into(), 3);
        let _waits = TcpStream::connect(address).expect("room in the queue");
        let queue = AcceptQueueReader::default().read(address.port());
        assert_eq!(queue, AcceptQueue { length: 1, limit: 3 });
    }

    #[test]
    fn a_malformed_answer_does_not_panic() {
        let mut queue = AcceptQueue::default();
        for length in [0_u32, 1, 15, 16, 17, 40, u32::MAX] {
            for kind in [SOCK_DIAG_BY_FAMILY, u16::MAX] {
                let mut block = [0xFF; 40];
                block[..4].copy_from_slice(&length.to_ne_bytes());
                block[4..6].copy_from_slice(&kind.to_ne_bytes());
                for cut in 0..block.len() {
                    add(&block[..cut], &mut queue);
                }
            }
        }
        assert_eq!(queue, AcceptQueue::default());
    }
}
