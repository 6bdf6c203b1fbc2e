//! One report of epoll: at most one read and one write.

use super::conn::State;
use super::epoll::Ready;
use super::reply_checker::Read;
use super::{Cause, Lane};

impl Lane {
    #[inline]
    pub(super) fn serve(&mut self, ready: Ready) {
        let conn = &self.conns[ready.conn];
        match conn.state {
            State::Open if conn.is_polite() => self.serve_polite(ready),
            State::Open => self.serve_bad_client(ready),
            State::Connecting if ready.write => self.connected(ready.conn),
            // Reports taken in the same batch as the end of their connection.
            State::Connecting | State::Waiting | State::Closed => {}
        }
    }

    #[inline]
    fn serve_polite(&mut self, ready: Ready) {
        if ready.read {
            match self.desk.receive(&mut self.conns[ready.conn]) {
                Read::Replies(replies) => self.replied(ready.conn, replies),
                Read::End => return self.close(ready.conn, Cause::Server(None)),
                Read::Broken(error) => return self.close(ready.conn, Cause::Server(Some(error))),
            }
        }
        if ready.write && self.conns[ready.conn].state == State::Open {
            self.writable(ready.conn);
        }
    }
}
