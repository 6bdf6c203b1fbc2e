//! The accept queues of a port. The request is for its listening sockets, so the kernel visits only those.

use rustix::net::AddressFamily;

use super::{SockDiag, answer::u32_at, request::Request};

/// The sum over all accept queues of some ports: SO_REUSEPORT gives a port several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that wait to be accepted.
    pub length: u64,
    /// Most connections that may wait. 0 where the kernel does not answer.
    pub limit: u64,
}

/// Reads accept queues. Where the kernel refuses to answer, all numbers are 0.
#[derive(Debug)]
pub struct AcceptQueueReader {
    // Kept open, so that a scrape needs no descriptor when there are none.
    kernel: Option<SockDiag>,
}

impl Default for AcceptQueueReader {
    fn default() -> Self {
        let kernel = SockDiag::open().inspect_err(
            |error| tracing::debug!(%error, "the lengths of accept queues cannot be read"),
        );
        Self { kernel: kernel.ok() }
    }
}

/// Most blocks read for one answer. A block holds some hundred listening sockets.
const BLOCKS_MAX: usize = 64;

/// Offsets of `idiag_rqueue` and `idiag_wqueue` of `struct inet_diag_msg`. For a listening socket they hold
/// the length of its queue and the limit.
const LENGTH_AT: usize = 56;
const LIMIT_AT: usize = 60;

impl AcceptQueueReader {
    /// Connections that wait to be accepted on `ports`, if the kernel answers. Costs a few system calls a port.
    pub fn waiting(&self, ports: &[u16]) -> Option<u64> {
        let queue = self.read(ports);
        (queue.limit > 0).then_some(queue.length)
    }

    /// The accept queues of `ports` now.
    pub fn read(&self, ports: &[u16]) -> AcceptQueue {
        let mut queue = AcceptQueue::default();
        let Some(kernel) = &self.kernel else { return queue };
        let families = [AddressFamily::INET, AddressFamily::INET6];
        for (port, family) in ports.iter().flat_map(|port| families.map(|family| (*port, family))) {
            // After an error the answer is incomplete; the next scrape asks again.
            let _ = kernel.ask(&Request::listeners(family, port), BLOCKS_MAX, |socket| {
                queue.length += u64::from(u32_at(socket, LENGTH_AT)?);
                queue.limit += u64::from(u32_at(socket, LIMIT_AT)?);
                Some(())
            });
        }
        queue
    }
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
        assert_eq!(kernel.read(&[address.port()]), AcceptQueue { length: 5, limit: 7 });

        let (_second, _) = listener(address, 9);
        assert_eq!(kernel.read(&[address.port()]), AcceptQueue { length: 5, limit: 16 });
        // An accepted connection is on the same port and no longer waits.
        let _accepted = first.accept().expect("one waits");
        assert_eq!(kernel.read(&[address.port()]).length, 4);
        drop(waiting);
    }

    #[test]
    fn a_listener_of_ipv6_is_found_where_there_is_ipv6() {
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            return;
        }
        let (_listener, address) = listener((Ipv6Addr::LOCALHOST, 0).into(), 3);
        let _waits = TcpStream::connect(address).expect("room in the queue");
        let queue = AcceptQueueReader::default().read(&[address.port()]);
        assert_eq!(queue, AcceptQueue { length: 1, limit: 3 });
    }
}
