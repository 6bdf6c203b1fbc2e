//! What an event of a connection over TLS means for the loop.

use rustix::io::Errno;

use super::super::EventLoop;
use super::super::conn::{Interest, State};
use super::super::epoll::Ready;
use super::super::ramp::ConnectError;
use super::{Session, Step, Tls};
use crate::clock;

impl EventLoop {
    /// Handles an event of a socket that does not carry the bytes as they are.
    pub(in crate::event_loop) fn transport_ready(&mut self, mut ready: Ready) {
        let index = ready.conn;
        if self.conns[index].state == State::Connecting
            && self.checker.transport.is_beginning(&self.conns[index])
        {
            return self.begin_step(index);
        }
        let interest = self.conns[index].interest;
        if ready.write {
            match self.flush(index) {
                // The socket may be watched for what TLS had to write alone.
                Ok(all) => {
                    ready.write = all && matches!(interest, Interest::Write | Interest::Both);
                }
                // Reading says the same, in the way of what the connection does.
                Err(_) => ready = Ready { read: true, write: false, ..ready },
            }
        }
        self.handle(ready);
        self.receive_rest(index);
    }

    /// Sends encrypted bytes that wait; returns whether the socket has taken all.
    fn flush(&mut self, index: usize) -> Result<bool, Errno> {
        let conn = &self.conns[index];
        let (Some(tls), Some(fd)) = (&mut self.checker.transport.tls, &conn.fd) else {
            return Ok(true);
        };
        let Some(session) = tls.session(conn) else { return Ok(true) };
        session.flush(fd)
    }

    /// Goes on with a handshake.
    pub(in crate::event_loop) fn begin_step(&mut self, index: usize) {
        match self.handshake(index) {
            Step::Waits => self.watch(index, Interest::Read),
            Step::Failed => self.connect_failed(index, ConnectError::Tls),
            Step::Done => {
                self.established(index, clock::now());
                self.receive_rest(index);
            }
        }
    }

    fn handshake(&mut self, index: usize) -> Step {
        let conn = &self.conns[index];
        let Some(fd) = &conn.fd else { return Step::Failed };
        let Some(tls) = &mut self.checker.transport.tls else { return Step::Done };
        let at = tls.index(conn);
        let Tls { sessions, cipher, totals, .. } = &mut **tls;
        let Some(session) = &mut sessions[at] else { return Step::Failed };
        session.handshake(fd, cipher, totals)
    }

    /// Receives what epoll does not report: bytes that came with others, and an end behind them.
    fn receive_rest(&mut self, index: usize) {
        for _ in 0..2 {
            if self.reads(index) && self.has_more(index) {
                self.handle(Ready { conn: index, read: true, write: false });
            }
        }
        // What TLS itself has to send may wait for the socket.
        self.watch(index, self.conns[index].interest);
    }

    /// Whether the loop waits for bytes of a connection.
    fn reads(&self, index: usize) -> bool {
        let conn = &self.conns[index];
        matches!(conn.state, State::Opening | State::Open)
            && matches!(conn.interest, Interest::Read | Interest::Both)
    }

    fn has_more(&mut self, index: usize) -> bool {
        let session =
            self.checker.transport.tls.as_mut().map(|tls| tls.session(&self.conns[index]));
        session.flatten().is_some_and(Session::has_more)
    }
}
