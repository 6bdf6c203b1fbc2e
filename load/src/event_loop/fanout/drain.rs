//! The drain of a fan-out: each publisher's last message is sent whole, and every subscriber is waited for
//! until it has all of them.

use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::{EventLoop, Interest, READ_BYTES, State};
use crate::clock::{self, MILLI, SECOND};
use crate::event_loop::ClosedBy;
use crate::event_loop::reply_checker::Received;
use crate::plan::Role;
use crate::run::event::{Event, Phase};

/// How much longer than the drain an event loop waits to learn what was published: publishers report at
/// the end of the drain at the latest.
const REPORT_TIME: u64 = SECOND;
/// Time without a byte for any stuck subscriber, after which those still open are taken for open.
const STUCK_QUIET: u64 = 500 * MILLI;

impl EventLoop {
    pub(in crate::event_loop) fn fanout_begin_drain(&mut self) {
        self.publish_all();
        self.read_stuck();
        let Some(fanout) = &self.fanout else { return };
        for publisher in &fanout.publishers {
            self.checker.counters.unsent += publisher.due.saturating_sub(publisher.made);
        }
    }

    /// Whether every subscriber has received every message.
    pub(in crate::event_loop) fn fanout_is_settled(&mut self, now: u64, drain_ends: u64) -> bool {
        self.report_publishers(now >= drain_ends);
        let Some(fanout) = &self.fanout else { return true };
        let Some(published) = self.control.published() else { return false };
        if now < fanout.stuck_read_at + STUCK_QUIET {
            return false;
        }
        let settled = |index: usize| {
            fanout.members[index].role != Role::Subscriber
                || self.conns[index].state != State::Open
                || (0..).zip(published).all(|(publisher, count)| {
                    count.is_none_or(|count| fanout.sequences.next(index, publisher) >= count)
                })
        };
        (0..self.conns.len()).all(settled)
    }

    /// Lets stuck subscribers read: that the server has ended their connection is seen only behind the bytes
    /// that it sent before.
    fn read_stuck(&mut self) {
        for index in 0..self.conns.len() {
            let Some(fanout) = &self.fanout else { return };
            let conn = &self.conns[index];
            if fanout.members[index].role == Role::Stuck && conn.state == State::Open {
                if let Some(fd) = &conn.fd {
                    // Without it the rest comes in small parts, and all the same.
                    let _ = set_socket_recv_buffer_size(fd, READ_BYTES);
                }
                self.watch(index, Interest::Read);
            }
        }
    }

    /// Handles an event of a stuck subscriber. Before the drain it never reads: then the event means that the
    /// server closed, or an error.
    pub(super) fn stuck_ready(&mut self, index: usize) {
        if self.phase != Phase::Drain {
            return self.close(index, ClosedBy::Server(None));
        }
        match self.checker.discard(&self.conns[index]) {
            Received::Settled(_) => {
                if let Some(fanout) = &mut self.fanout {
                    fanout.stuck_read_at = clock::now();
                }
            }
            Received::End => self.close(index, ClosedBy::Server(None)),
            Received::Broken(error) => self.close(index, ClosedBy::Server(Some(error))),
        }
    }

    /// When the drain is over although messages are missing.
    pub(in crate::event_loop) fn fanout_gives_up_at(&self, drain_ends: u64) -> u64 {
        match self.control.published() {
            Some(_) => drain_ends,
            None => drain_ends.saturating_add(REPORT_TIME),
        }
    }

    /// Reports what each publisher has sent, once that is final. Of one whose connection ended it is
    /// unknown what the server has received.
    fn report_publishers(&mut self, at_once: bool) {
        let Some(fanout) = &mut self.fanout else { return };
        for publisher in &mut fanout.publishers {
            let conn = &self.conns[publisher.index];
            let waits = !fanout.members[publisher.index].out.is_empty();
            if publisher.reported || waits && conn.state == State::Open && !at_once {
                continue;
            }
            publisher.reported = true;
            let sent = (conn.state == State::Open).then_some(publisher.sent);
            // The receiver is gone only when the run was abandoned.
            let _ = self.outbox.send(Event::Published(publisher.number, sent));
        }
    }

    /// Counts the messages that did not come: those of subscribers whose connection the server ended are
    /// only unanswered, and so are those that were not waited for.
    pub(in crate::event_loop) fn fanout_count_missing(&mut self) {
        let Some(fanout) = &self.fanout else { return };
        let counters = &mut self.checker.counters;
        counters.missing += fanout.sequences.skipped();
        let waited = !self.checker.job.plan.drain.is_zero();
        let Some(published) = self.control.published() else { return };
        for (index, conn) in self.conns.iter().enumerate() {
            let member = &fanout.members[index];
            if !member.subscribed || member.role != Role::Subscriber {
                continue;
            }
            let left: u64 = (0..)
                .zip(published)
                .filter_map(|(publisher, count)| {
                    Some((*count)?.saturating_sub(fanout.sequences.next(index, publisher)))
                })
                .sum();
            if waited && conn.state == State::Open {
                counters.missing += left;
            } else {
                counters.unanswered += left;
            }
        }
    }
}
