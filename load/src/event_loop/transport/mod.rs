//! Where bytes of a connection go to and come from: its socket as it is, or TLS over it.
//!
//! The rest of the loop sends and receives, and says what it waits for. That encrypted bytes wait for the
//! socket although all lines were taken, that TLS reads in order to write, and that bytes have arrived
//! which epoll will not report, is known here alone. A connection without TLS has no state here, and costs
//! one branch for each call.

mod hooks;
mod session;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::{Errno, read};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{SendFlags, send};

use self::session::Session;
pub(super) use self::session::Step;
use super::Share;
use super::conn::{Conn, Interest};
use crate::job::Job;
use crate::tls::TlsTotals;

/// Encrypted bytes of one read. What they decrypt to fits the buffer of a read.
const CIPHER_BYTES: usize = 128 * 1024;

/// The sockets of an event loop, and TLS over them if the plan says so.
#[derive(Debug)]
pub(crate) struct Transport {
    tls: Option<Box<Tls>>,
}

/// The TLS of an event loop's connections.
pub(super) struct Tls {
    job: Arc<Job>,
    /// Connection `id` has session `id / of`.
    of: u32,
    sessions: Vec<Option<Box<Session>>>,
    /// What was read last, for all sessions: none keeps encrypted bytes of its own but an incomplete
    /// record.
    cipher: Vec<u8>,
    totals: TlsTotals,
}

impl Transport {
    /// The transport of an event loop with `connections` connections.
    pub(super) fn new(job: &Arc<Job>, share: Share, connections: usize) -> Self {
        let tls = job.tls.is_some().then(|| {
            Box::new(Tls {
                job: Arc::clone(job),
                of: share.of,
                sessions: (0..connections).map(|_| None).collect(),
                cipher: vec![0; CIPHER_BYTES],
                totals: TlsTotals::default(),
            })
        });
        Self { tls }
    }

    /// Whether sockets carry the bytes as they are.
    #[inline]
    pub(super) fn is_direct(&self) -> bool {
        self.tls.is_none()
    }

    /// Sends the beginning of `bytes`; returns how many were taken. `AGAIN`: the socket takes none.
    #[inline]
    pub(super) fn send(&mut self, conn: &Conn, bytes: &[u8]) -> Result<usize, Errno> {
        let Some(fd) = &conn.fd else { return Err(Errno::AGAIN) };
        match &mut self.tls {
            None => send(fd, bytes, SendFlags::NOSIGNAL),
            // A connection sends and receives only behind its handshake.
            Some(tls) => tls.session(conn).ok_or(Errno::AGAIN)?.send(fd, bytes),
        }
    }

    /// Receives once: 0 is the end of the stream, `AGAIN` that nothing has arrived.
    ///
    /// `into` is at least [`CIPHER_BYTES`] long.
    #[inline]
    pub(super) fn receive(&mut self, conn: &Conn, into: &mut [u8]) -> Result<usize, Errno> {
        let Some(fd) = &conn.fd else { return Err(Errno::AGAIN) };
        match &mut self.tls {
            None => read(fd, into),
            Some(tls) => tls.receive(conn, fd, into),
        }
    }

    /// Notes what the loop waits for; returns what epoll is to watch the socket for, if that has changed.
    #[inline]
    pub(super) fn watch(&mut self, conn: &mut Conn, interest: Interest) -> Option<Interest> {
        let before = conn.interest;
        conn.interest = interest;
        match &mut self.tls {
            None => (before != interest).then_some(interest),
            Some(tls) => match tls.session(conn) {
                None => (before != interest).then_some(interest),
                Some(session) => session.watch(interest),
            },
        }
    }

    /// Begins what comes after the connect; returns whether there is anything.
    ///
    /// # Errors
    /// When TLS refuses the configuration or the name.
    pub(super) fn begin(&mut self, conn: &Conn, now: u64) -> Result<bool, rustls::Error> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let Some(job) = &tls.job.tls else { return Ok(false) };
        let (config, name) = (Arc::clone(&job.config), job.name(conn.id));
        let session = Session::new(config, name, now, conn.interest)?;
        let at = tls.index(conn);
        tls.sessions[at] = Some(Box::new(session));
        Ok(true)
    }

    /// Whether the connection is made, and what comes after it is not done.
    pub(super) fn is_beginning(&mut self, conn: &Conn) -> bool {
        let session = self.tls.as_mut().and_then(|tls| tls.session(conn));
        session.is_some_and(|session| session.is_handshaking())
    }

    /// Counts what comes after the connect as failed, because it took too long.
    pub(super) fn begin_overdue(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.totals.failed += 1;
            tls.totals.error("the handshake did not end within the connect timeout".to_owned());
        }
    }

    /// Closes the socket. With `notify` the server is told that nothing is missing.
    pub(super) fn close(&mut self, conn: &mut Conn, notify: bool) {
        let Some(fd) = conn.fd.take() else { return };
        if let Some(tls) = &mut self.tls {
            let at = tls.index(conn);
            if let Some(mut session) = tls.sessions[at].take()
                && notify
            {
                session.close_notify(&fd);
            }
        }
    }

    /// Ends a connection with a reset, as a client that crashes.
    pub(super) fn abort(&mut self, conn: &mut Conn) {
        if let Some(fd) = &conn.fd {
            // With a linger time of 0 the close sends RST. Fails only for what is not a socket.
            let _ = set_socket_linger(fd, Some(Duration::ZERO));
        }
        self.close(conn, false);
    }

    /// Takes the counts; `None` without TLS.
    pub(super) fn take_totals(&mut self) -> Option<Box<TlsTotals>> {
        self.tls.as_mut().map(|tls| Box::new(std::mem::take(&mut tls.totals)))
    }
}

impl Tls {
    fn index(&self, conn: &Conn) -> usize {
        (conn.id / self.of) as usize
    }

    #[inline]
    fn session(&mut self, conn: &Conn) -> Option<&mut Session> {
        let at = self.index(conn);
        self.sessions[at].as_deref_mut()
    }

    fn receive(&mut self, conn: &Conn, fd: &OwnedFd, into: &mut [u8]) -> Result<usize, Errno> {
        let at = self.index(conn);
        let Some(session) = &mut self.sessions[at] else { return Err(Errno::AGAIN) };
        session.receive(fd, &mut self.cipher, into, &mut self.totals)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("totals", &self.totals).finish_non_exhaustive()
    }
}
