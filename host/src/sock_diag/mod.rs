//! TCP sockets as the kernel's socket diagnostics show them (sock_diag(7)).
//!
//! `/proc/net/tcp` has a part of it, but the kernel walks its table of all connections for that,
//! which takes half a millisecond even when the table is empty.
//!
//! | file | holds |
//! |---|---|
//! | `request.rs` | questions, as the kernel reads them |
//! | `answer.rs` | the messages of an answer |
//! | `tcp_socket.rs` | one socket of an answer |
//! | `accept_queue.rs` | the accept queues of a port |

#![expect(clippy::disallowed_types, reason = "the kernel does not run by a paused clock")]

mod accept_queue;
mod answer;
mod request;
mod tcp_socket;

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

pub use self::{
    accept_queue::{AcceptQueue, AcceptQueueReader},
    tcp_socket::{TcpInfo, TcpSocket},
};
use self::{
    answer::{Answer, Message},
    request::Request,
};

/// Size of the buffer for one block of an answer: the most that the kernel fills at once.
const BLOCK_BYTES: usize = 32 * 1024;

/// A socket to the kernel's diagnostics.
#[derive(Debug)]
pub struct SockDiag(OwnedFd);

/// What is asked for of each connection of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Addresses and queues.
    Queues,
    /// [`TcpInfo`] too.
    Info,
}

/// Whether the kernel gave all that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Listed {
    /// All of it.
    Whole,
    /// A part: the time was over, or the kernel's table changed too fast.
    Part,
}

impl SockDiag {
    /// Opens one, if the kernel has diagnostics and this process may ask for them. It needs no privilege.
    ///
    /// # Errors
    /// When the kernel refuses a socket.
    pub fn open() -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?))
    }

    /// Begins a list of every TCP connection whose local port is `port`, in the network namespace of this
    /// process, which takes `within` at most.
    ///
    /// *Costs*: one or two microseconds a connection; a tenth less without [`Include::Info`].
    pub fn dump(&self, port: u16, with: Include, within: Duration) -> Dump<'_> {
        let families = vec![AddressFamily::INET6, AddressFamily::INET];
        let (until, listed) = (Instant::now() + within, Listed::Whole);
        Dump { kernel: self, port, with, until, families, asked: false, listed, block: new_block() }
    }

    /// The connection between two addresses; `None` if there is none.
    ///
    /// *Costs*: two system calls; the kernel looks it up in its table.
    pub fn connection(&self, local: SocketAddr, peer: SocketAddr) -> Option<TcpSocket> {
        let mut found = None;
        let _ = self.ask(&Request::connection(local, peer)?, 1, |message| {
            found = TcpSocket::parse(message);
            Some(())
        });
        // Without such a connection the kernel gives the listening socket that would take it.
        found.filter(|found| found.peer == peer)
    }

    /// Sends a request and reads its answer, message by message, of `blocks_max` blocks at most.
    fn ask(
        &self,
        request: &Request,
        blocks_max: usize,
        mut each: impl FnMut(&[u8]) -> Option<()>,
    ) -> std::io::Result<Listed> {
        self.send(request)?;
        let mut block = new_block();
        for _ in 0..blocks_max {
            if let Some(listed) = self.receive(&mut block, &mut each)? {
                return Ok(listed);
            }
        }
        Ok(Listed::Part)
    }

    fn send(&self, request: &Request) -> std::io::Result<()> {
        self.discard();
        send(&self.0, request.as_bytes(), SendFlags::empty())?;
        Ok(())
    }

    /// Reads one block of an answer; `None` if another follows.
    fn receive(
        &self,
        block: &mut [u8],
        mut each: impl FnMut(&[u8]) -> Option<()>,
    ) -> std::io::Result<Option<Listed>> {
        let length = loop {
            match recv(&self.0, &mut *block, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                read => break read?.0,
            }
        };
        for message in Answer::new(&block[..length.min(block.len())]) {
            match message {
                Message::Socket(socket) => {
                    // One that cannot be read is of a kernel that this program does not know.
                    let _ = each(socket);
                }
                Message::End { whole } => {
                    return Ok(Some(if whole { Listed::Whole } else { Listed::Part }));
                }
            }
        }
        Ok(None)
    }

    /// Reads and drops what is left of an answer that was given up.
    fn discard(&self) {
        /// Most blocks that the kernel holds ready.
        const BLOCKS_MAX: usize = 64;
        let mut block = [0; 64];
        for _ in 0..BLOCKS_MAX {
            if recv(&self.0, &mut block[..], RecvFlags::TRUNC).is_err() {
                return;
            }
        }
    }
}

fn new_block() -> Box<[u8]> {
    vec![0; BLOCK_BYTES].into()
}

/// A list of connections that the kernel is giving, block by block.
#[derive(Debug)]
pub struct Dump<'a> {
    kernel: &'a SockDiag,
    port: u16,
    with: Include,
    until: Instant,
    /// Those that are still to be asked for; the last one is next.
    families: Vec<AddressFamily>,
    /// The last one was asked for.
    asked: bool,
    listed: Listed,
    block: Box<[u8]>,
}

impl Dump<'_> {
    /// Calls `each` with the connections of the next block, some hundred. `None` while more follow.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn next_block(
        &mut self,
        mut each: impl FnMut(TcpSocket),
    ) -> std::io::Result<Option<Listed>> {
        let Some(family) = self.families.last() else { return Ok(Some(self.listed)) };
        if !self.asked {
            self.kernel.send(&Request::connections(*family, self.port, self.with))?;
            self.asked = true;
        }
        let answered = self.kernel.receive(&mut self.block, |message| {
            each(TcpSocket::parse(message)?);
            Some(())
        })?;
        if let Some(listed) = answered {
            self.families.pop();
            self.asked = false;
            if listed == Listed::Part {
                self.listed = Listed::Part;
            }
        }
        let timed_out = !self.families.is_empty() && Instant::now() >= self.until;
        if timed_out {
            self.families.clear();
            self.listed = Listed::Part;
        }
        Ok(None)
    }
}
