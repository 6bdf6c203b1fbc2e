//! Making connections: at an exact rate, or as fast as they are accepted.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, connect, socket_with, sockopt};

use super::conn::{Conn, Interest, State};
use super::{Cause, Lane, Share};
use crate::clock::{self, MILLI, SECOND};
use crate::plan::{Plan, TargetAddr};

/// Handshakes under way at once over all lanes, when no rate is given: fewer than the least backlog
/// servers are known to use, because a connect that overflows it waits a second for its next try.
const HANDSHAKES: u32 = 120;
/// Connects begun before other connections are served.
const STRIDE: usize = 64;

/// The lane's part of the ramp: its connections in order, each at its moment.
#[derive(Debug)]
pub(crate) struct Ramp {
    start: u64,
    /// Nanoseconds between two connections of the run.
    gap: Option<f64>,
    limit: u32,
    timeout: u64,
    next: usize,
    /// Connects that have not ended; those of roles that come back included.
    connecting: u32,
    /// Every connection before this one has ended its first connect.
    settled: usize,
}

impl Ramp {
    pub(super) fn new(plan: &Plan, share: Share, start: u64) -> Self {
        Self {
            start,
            gap: plan.connect_rate.map(|rate| SECOND as f64 / rate),
            limit: (HANDSHAKES / share.of).max(4),
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

/// Why a connection was not made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Errno(Errno),
    /// The source address is not this host's.
    NoAddress,
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

impl Lane {
    /// Begins the connects that are due and ends those that took too long.
    pub(super) fn connect_due(&mut self, now: u64) -> u64 {
        let mut due = u64::MAX;
        for begun in 0.. {
            let Some(conn) = self.conns.get(self.ramp.next) else { break };
            let at = self.ramp.due(conn);
            if at > now || begun == STRIDE {
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
            if conn.state == State::Connecting {
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

    /// Whether every connection has ended its first connect.
    pub(super) fn ramped(&self) -> bool {
        self.ramp.settled == self.conns.len()
    }

    /// Begins one connect. `false`: the target's queue is full, try again (Unix sockets only).
    pub(super) fn connect(&mut self, index: usize, now: u64) -> bool {
        let plan = &self.desk.job.plan;
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
            Ok(()) | Err(Errno::INPROGRESS) => self.poll.add(&fd, index, Interest::Write),
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

    /// The kernel has an answer to a connect.
    pub(super) fn connected(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        let Some(fd) = &conn.fd else { return };
        match sockopt::socket_error(fd) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => return self.connect_failed(index, error.into()),
        }
        let now = clock::now();
        self.ramp.connecting -= 1;
        self.open += 1;
        self.ledger.connect.record(now - conn.since, 1);
        conn.state = State::Open;
        conn.since = now;
        if conn.is_polite() {
            self.desk.counters.established += 1;
            self.polite_opened(index, now);
        } else {
            self.bad_client_opened(index, now);
        }
    }

    pub(super) fn connect_failed(&mut self, index: usize, fault: Fault) {
        self.ramp.connecting -= 1;
        if self.conns[index].is_polite() {
            let counters = &mut self.desk.counters;
            *match fault {
                Fault::NoAddress => &mut counters.no_address,
                Fault::Errno(Errno::CONNREFUSED) => &mut counters.refused,
                Fault::Errno(Errno::TIMEDOUT) => &mut counters.connect_timeout,
                Fault::Errno(Errno::ADDRNOTAVAIL) => &mut counters.no_port,
                Fault::Errno(Errno::MFILE | Errno::NFILE) => &mut counters.no_descriptor,
                Fault::Errno(_) => &mut counters.connect_other,
            } += 1;
        }
        self.close(index, Cause::Server(None));
    }
}

fn open_socket(plan: &Plan, id: u32) -> Result<OwnedFd, Fault> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let TargetAddr::Tcp { address, .. } = plan.target(id) else {
        return Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?);
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, SocketType::STREAM, flags, None)?;
    if !plan.nagle {
        sockopt::set_tcp_nodelay(&fd, true)?;
    }
    if let Some(source) = source(plan, id) {
        // Leaves the port to connect(), which may take one that other targets already use.
        setsockopt(&fd, IpBindAddressNoPort, &true)
            .map_err(|e| Errno::from_raw_os_error(e as i32))?;
        // At connect the same error means that the ports have run out.
        bind(&fd, &SocketAddr::new(source, 0)).map_err(|error| match error {
            Errno::ADDRNOTAVAIL => Fault::NoAddress,
            other => Fault::Errno(other),
        })?;
    }
    Ok(fd)
}

fn source(plan: &Plan, id: u32) -> Option<IpAddr> {
    let turn = (id as usize).checked_rem(plan.bound.len())?;
    Some(plan.bound[turn])
}
