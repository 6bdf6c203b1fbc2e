//! Handles a readiness event: at most one read and one write.

use super::conn::State;
use super::epoll::Ready;
use super::reply_checker::Received;
use super::{ClosedBy, EventLoop};

impl EventLoop {
    #[inline]
    pub(super) fn dispatch(&mut self, ready: Ready) {
        if self.checker.transport.is_direct() {
            self.handle(ready);
        } else {
            self.transport_ready(ready);
        }
    }

    #[inline]
    pub(super) fn handle(&mut self, ready: Ready) {
        let conn = &self.conns[ready.conn];
        match conn.state {
            State::Opening | State::Open if self.fanout.is_some() => self.fanout_ready(ready),
            State::Open if conn.is_well_behaved() => self.well_behaved_ready(ready),
            State::Open => self.bad_client_ready(ready),
            State::Connecting if ready.write => self.connected(ready.conn),
            // Events of the same batch as the one that closed the connection.
            State::Connecting | State::Opening | State::Waiting | State::Closed => {}
        }
    }

    #[inline]
    fn well_behaved_ready(&mut self, ready: Ready) {
        if ready.read {
            match self.checker.receive(&mut self.conns[ready.conn]) {
                Received::Settled(lines) => self.settled(ready.conn, lines),
                Received::End => return self.close(ready.conn, ClosedBy::Server(None)),
                Received::Broken(error) => {
                    return self.close(ready.conn, ClosedBy::Server(Some(error)));
                }
            }
        }
        if ready.write && self.conns[ready.conn].state == State::Open {
            self.writable(ready.conn);
        }
    }
}
