//! Makes connections, at an exact rate or as fast as the server accepts them.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{SendFlags, bind, connect, send, socket_with, sockopt};

use super::conn::{Conn, Interest, State};
use super::{ClosedBy, EventLoop, Share};
use crate::clock::{self, MILLI, SECOND};
use crate::plan::{Plan, Role, TargetAddr};

/// Handshakes under way at once over all event loops, if no rate is given. Fewer than the smallest
/// backlog in common use (128), because a connect that overflows a backlog is retried only after a
/// second.
const HANDSHAKES_MAX: u32 = 120;
/// The receive buffer of a subscriber that reads nothing.
const STUCK_BUFFER_BYTES: usize = 4096;
/// Connects begun before the loop handles other connections.
const CONNECTS_MAX: usize = 64;

/// The event loop's part of the ramp: its connections in order, each with the time it is due.
#[derive(Debug)]
pub(crate) struct Ramp {
    start: u64,
    /// Nanoseconds between two connects of the whole run; `None` for no rate.
    gap: Option<f64>,
    limit: u32,
    timeout: u64,
    next: usize,
    /// Connects under way, those of bad clients that connect again included.
    connecting: u32,
    /// Every connection before this index has finished its first connect, or failed.
    settled: usize,
}

impl Ramp {
    pub(super) fn new(plan: &Plan, share: Share, start: u64) -> Self {
        Self {
            start,
            gap: plan.connect_rate.map(|rate| SECOND as f64 / rate),
            limit: (HANDSHAKES_MAX / share.of).max(4),
            timeout: plan.connect_timeout.as_nanos() as u64,
            next: 0,
            connecting: 0,
            settled: 0,
        }
    }

    fn due(&self, conn: &Conn) -> u64 {
        self.start + self.gap.map_or(0, |gap| (gap * f64::from(conn.id)) as u64)
    }
}

/// Why a connect failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum ConnectError {
    Errno(Errno),
    /// This host does not have the source address.
    NoAddress,
    /// The handshake of TLS failed.
    Tls,
    /// The server refused, or ended the connection before it confirmed the opening of a fan-out.
    NotSubscribed,
}

impl From<Errno> for ConnectError {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

impl EventLoop {
    /// Begins the connects that are due and fails those that took too long; returns when the next is due.
    pub(super) fn connect_due(&mut self, now: u64) -> u64 {
        let mut due = u64::MAX;
        for begun in 0.. {
            let Some(conn) = self.conns.get(self.ramp.next) else { break };
            let at = self.ramp.due(conn);
            if at > now || begun == CONNECTS_MAX {
                due = at.max(now);
                break;
            }
            if self.ramp.gap.is_none() && self.ramp.connecting >= self.ramp.limit {
                break;
            }
            if !self.connect(self.ramp.next, now) {
                due = now + MILLI;
                break;
            }
            self.ramp.next += 1;
        }
        while let Some(conn) = self.conns[..self.ramp.next].get(self.ramp.settled) {
            if matches!(conn.state, State::Connecting | State::Opening) {
                let limit = conn.since + self.ramp.timeout;
                if limit > now {
                    due = due.min(limit);
                    break;
                }
                self.connect_failed(self.ramp.settled, Errno::TIMEDOUT.into());
            }
            self.ramp.settled += 1;
        }
        due
    }

    /// Whether every connection has finished its first connect, or failed.
    pub(super) fn ramped(&self) -> bool {
        self.ramp.settled == self.conns.len()
    }

    /// Begins a connect. Returns `false` if the target's accept queue is full and the caller must try
    /// again (Unix sockets only).
    pub(super) fn connect(&mut self, index: usize, now: u64) -> bool {
        let plan = &self.checker.job.plan;
        let conn = &mut self.conns[index];
        conn.since = now;
        let fd = match open_socket(plan, conn.id) {
            Ok(fd) => fd,
            Err(error) => {
                self.ramp.connecting += 1;
                self.connect_failed(index, error);
                return true;
            }
        };
        let begun = match plan.target(conn.id) {
            TargetAddr::Tcp { address, .. } => connect(&fd, address),
            TargetAddr::Unix(path) => SocketAddrUnix::new(path).and_then(|a| connect(&fd, &a)),
        };
        if begun == Err(Errno::AGAIN) {
            return false;
        }
        self.ramp.connecting += 1;
        let watched = match begun {
            Ok(()) | Err(Errno::INPROGRESS) => self.epoll.add(&fd, index, Interest::Write),
            Err(error) => Err(error),
        };
        match watched {
            Ok(()) => {
                conn.fd = Some(fd);
                conn.interest = Interest::Write;
                conn.state = State::Connecting;
            }
            Err(error) => self.connect_failed(index, error.into()),
        }
        true
    }

    /// Handles the end of the handshake of TCP.
    pub(super) fn connected(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        let Some(fd) = &conn.fd else { return };
        match sockopt::socket_error(fd) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => return self.connect_failed(index, error.into()),
        }
        if let Some(proxy) = self.checker.job.plan.proxy {
            let header = proxy.bytes(conn.id);
            // It fits the send buffer of a new connection.
            match send(fd, &header, SendFlags::NOSIGNAL) {
                Ok(sent) if sent == header.len() => {}
                sent => {
                    let error = sent.err().unwrap_or(Errno::NOBUFS);
                    return self.connect_failed(index, error.into());
                }
            }
        }
        let now = clock::now();
        self.stats.connect.record(now - conn.since, 1);
        match self.checker.transport.begin(conn, now) {
            Ok(false) => self.established(index, now),
            Ok(true) => self.begin_step(index),
            Err(_) => self.connect_failed(index, ConnectError::Tls),
        }
    }

    /// Handles a connection that can carry lines.
    pub(super) fn established(&mut self, index: usize, now: u64) {
        if self.fanout.is_some() {
            return self.fanout_connected(index, now);
        }
        self.opened(index, now);
        let conn = &self.conns[index];
        if conn.is_well_behaved() {
            self.checker.counters.established += 1;
            self.well_behaved_opened(index, now);
        } else {
            self.bad_client_opened(index, now);
        }
    }

    /// Counts a connection as open.
    pub(super) fn opened(&mut self, index: usize, now: u64) {
        self.ramp.connecting -= 1;
        self.open += 1;
        self.conns[index].state = State::Open;
        self.conns[index].since = now;
    }

    pub(super) fn connect_failed(&mut self, index: usize, error: ConnectError) {
        self.ramp.connecting -= 1;
        let handshakes = self.checker.transport.is_beginning(&self.conns[index]);
        if handshakes && matches!(error, ConnectError::Errno(Errno::TIMEDOUT)) {
            self.checker.transport.begin_overdue();
        }
        if self.conns[index].is_well_behaved() {
            let counters = &mut self.checker.counters;
            *match error {
                ConnectError::NoAddress => &mut counters.no_address,
                ConnectError::NotSubscribed => &mut counters.not_subscribed,
                ConnectError::Tls => &mut counters.tls_handshake,
                ConnectError::Errno(Errno::TIMEDOUT) if handshakes => &mut counters.tls_timeout,
                ConnectError::Errno(Errno::CONNREFUSED) => &mut counters.refused,
                ConnectError::Errno(Errno::TIMEDOUT) => &mut counters.connect_timeout,
                ConnectError::Errno(Errno::ADDRNOTAVAIL) => &mut counters.no_port,
                ConnectError::Errno(Errno::MFILE | Errno::NFILE) => &mut counters.no_descriptor,
                ConnectError::Errno(_) => &mut counters.connect_other,
            } += 1;
        }
        self.close(index, ClosedBy::Server(None));
    }
}

fn open_socket(plan: &Plan, id: u32) -> Result<OwnedFd, ConnectError> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let TargetAddr::Tcp { address, .. } = plan.target(id) else {
        return Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?);
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, SocketType::STREAM, flags, None)?;
    if plan.is_fanout() && plan.role(id) == Role::Stuck {
        // The messages then wait in the server and not in this host's kernel.
        sockopt::set_socket_recv_buffer_size(&fd, STUCK_BUFFER_BYTES)?;
    }
    if !plan.nagle {
        sockopt::set_tcp_nodelay(&fd, true)?;
    }
    if let Some(source) = source(plan, id) {
        // Leaves the choice of the port to connect(), which can share a port between targets.
        setsockopt(&fd, IpBindAddressNoPort, &true)
            .map_err(|e| Errno::from_raw_os_error(e as i32))?;
        // The same error from connect() means that no local port is left.
        bind(&fd, &SocketAddr::new(source, 0)).map_err(|error| match error {
            Errno::ADDRNOTAVAIL => ConnectError::NoAddress,
            other => ConnectError::Errno(other),
        })?;
    }
    Ok(fd)
}

fn source(plan: &Plan, id: u32) -> Option<IpAddr> {
    let index = (id as usize).checked_rem(plan.bound.len())?;
    Some(plan.bound[index])
}
