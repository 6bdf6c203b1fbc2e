//! The accept queues of a port, as the kernel's socket diagnostics tell them (sock_diag(7)).
//!
//! `/proc/net/tcp` has the same numbers, but to read it the kernel walks through its table of all
//! connections, which takes half a millisecond even when there are none. This asks for the listening
//! sockets of one port, and nothing else is looked at.

use std::os::fd::OwnedFd;

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

/// All queues of a port together: SO_REUSEPORT gives it several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct AcceptQueue {
    /// Connections that wait.
    pub(super) length: u64,
    /// Most that may.
    pub(super) limit: u64,
}

/// Where the kernel tells; nothing where it does not let itself be asked.
#[derive(Debug)]
pub(super) struct AcceptQueueReader {
    // Kept open: a scrape must not need a descriptor when there are none.
    kernel: Option<OwnedFd>,
}

impl Default for AcceptQueueReader {
    fn default() -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
            .inspect_err(|error| tracing::debug!(%error, "accept queues cannot be asked for"));
        Self { kernel: kernel.ok() }
    }
}

impl AcceptQueueReader {
    /// What waits to be accepted on a port now.
    pub(super) fn read(&self, port: u16) -> AcceptQueue {
        let mut queue = AcceptQueue::default();
        let Some(kernel) = &self.kernel else { return queue };
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            // Half an answer is one from before; the next scrape asks again.
            let _ = ask(kernel, family, port, &mut queue);
        }
        queue
    }
}

/// Most blocks of answers: some sixty listening sockets in each.
const BLOCKS_MAX: usize = 64;

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
        if add(&block[..length], queue) == Answer::Whole {
            break;
        }
    }
    Ok(())
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;

/// Of `struct nlmsghdr`, and of `struct inet_diag_req_v2` behind it.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;

/// Asks for all listening TCP sockets of a family with that port.
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

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Whole,
    MoreFollows,
}

/// Adds the queues that a block of answers tells of.
fn add(block: &[u8], queue: &mut AcceptQueue) -> Answer {
    /// Of `struct inet_diag_msg`, behind the header: `idiag_rqueue` and `idiag_wqueue`, which hold
    /// a listening socket's queue and its limit.
    const QUEUE: usize = HEADER_BYTES + 56;
    const LIMIT: usize = HEADER_BYTES + 60;
    let mut rest = block;
    while rest.len() >= HEADER_BYTES {
        let length = number(rest, 0).map_or(0, |length| length as usize);
        let message = &rest[..length.clamp(HEADER_BYTES, rest.len())];
        match u16::from_ne_bytes([rest[4], rest[5]]) {
            NLMSG_DONE | NLMSG_ERROR => return Answer::Whole,
            SOCK_DIAG_BY_FAMILY => {
                queue.length += u64::from(number(message, QUEUE).unwrap_or(0));
                queue.limit += u64::from(number(message, LIMIT).unwrap_or(0));
            }
            _ => {}
        }
        // The next one begins at a multiple of four.
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
    fn what_waits_on_all_listeners_of_a_port_is_told_and_how_much_may() {
        let kernel = AcceptQueueReader::default();
        let (first, address) = listener((Ipv4Addr::LOCALHOST, 0).into(), 7);
        let waiting: Vec<_> =
            (0..5).map(|_| TcpStream::connect(address).expect("room in the queue")).collect();
        assert_eq!(kernel.read(address.port()), AcceptQueue { length: 5, limit: 7 });

        let (_second, _) = listener(address, 9);
        assert_eq!(kernel.read(address.port()), AcceptQueue { length: 5, limit: 16 });
        // Those that were accepted are connections of the port, and wait no more.
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
        let told = AcceptQueueReader::default().read(address.port());
        assert_eq!(told, AcceptQueue { length: 1, limit: 3 });
    }

    #[test]
    fn answers_that_make_no_sense_are_no_reason_to_panic() {
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
