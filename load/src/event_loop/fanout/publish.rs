//! Publishes messages: on a schedule, or as fast as a subscriber receives them.

use super::{EventLoop, Interest, Sent, State};
use crate::clock::{self, SECOND};
use crate::event_loop::ClosedBy;
use crate::fanout::{Format, Stamp};
use crate::job::FanoutJob;
use crate::plan::FanoutPace;
use crate::run::event::Phase;

/// Bytes made for one write.
const WRITE_BYTES: usize = 64 * 1024;

/// A connection that publishes.
#[derive(Debug)]
pub(super) struct Publisher {
    /// The index of its connection.
    pub(super) index: usize,
    /// Its number among the publishers of the run.
    pub(super) number: u32,
    /// What stands in front of each message and behind it.
    before: Vec<u8>,
    after: Vec<u8>,
    /// Bytes of a message with what stands around it.
    bytes: usize,
    /// Messages due so far, on a schedule.
    pub(super) due: u64,
    /// Messages made so far.
    pub(super) made: u64,
    /// Messages given to the kernel whole.
    pub(super) sent: u64,
    /// Whether `sent` was reported to the leader.
    pub(super) reported: bool,
}

impl Publisher {
    pub(super) fn new(job: &FanoutJob, index: usize, id: u32, number: u32) -> Self {
        let (before, after) = job.commands.around(id, job.format.bytes());
        let bytes = before.len() + job.format.bytes() + after.len();
        Self { index, number, before, after, bytes, due: 0, made: 0, sent: 0, reported: false }
    }

    fn make(&mut self, format: &Format, due: u64, now: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        let stamp = Stamp { publisher: self.number, number: self.made, due, sent: now };
        format.encode(stamp, out);
        out.extend_from_slice(&self.after);
        self.made += 1;
    }
}

/// Nanoseconds after the start of the schedule at which a publisher's message is due.
fn due_after(rate: f64, publishers: u32, publisher: u32, message: u64) -> u64 {
    let number = message as f64 * f64::from(publishers) + f64::from(publisher);
    (number * SECOND as f64 / rate) as u64
}

impl EventLoop {
    /// Sends the messages that are due; returns when the next one is.
    pub(in crate::event_loop) fn publish_due(&mut self, now: u64) -> u64 {
        let Some(fanout) = &self.fanout else { return u64::MAX };
        let FanoutPace::Rate(rate) = fanout.pace else { return u64::MAX };
        let publishers = self.checker.job.plan.fanout.publishers;
        let (start, count) = (fanout.start, fanout.publishers.len());
        let mut next = u64::MAX;
        for at in 0..count {
            let Some(fanout) = &mut self.fanout else { break };
            let publisher = &mut fanout.publishers[at];
            let due_at = |message| start + due_after(rate, publishers, publisher.number, message);
            let before = publisher.due;
            let mut due = before;
            while due_at(due) <= now {
                due += 1;
            }
            next = next.min(due_at(due));
            publisher.due = due;
            if due > before && self.conns[publisher.index].state == State::Open {
                self.publish(at);
            }
        }
        next
    }

    /// Lets every publisher of the event loop send.
    pub(in crate::event_loop) fn publish_all(&mut self) {
        let count = self.fanout.as_ref().map_or(0, |fanout| fanout.publishers.len());
        for at in 0..count {
            let index = self.fanout.as_ref().map(|fanout| fanout.publishers[at].index);
            if index.is_some_and(|index| self.conns[index].state == State::Open) {
                self.publish(at);
            }
        }
    }

    /// Sends what waits for the socket of a publisher, and the messages that it may send now.
    pub(super) fn publish(&mut self, at: usize) {
        let Some(fanout) = &self.fanout else { return };
        let index = fanout.publishers[at].index;
        let mut sent = self.fanout_flush(index);
        if sent == Sent::All && self.phase == Phase::Steady {
            self.make_messages(at);
            sent = self.fanout_flush(index);
        }
        self.count_published(at);
        let interest = match sent {
            Sent::Broken(error) => return self.close(index, ClosedBy::Server(Some(error))),
            Sent::Blocked => Interest::Both,
            // Further messages may be sent: after the other connections had their turn.
            Sent::All if self.phase == Phase::Steady && self.room(at) > 0 => Interest::Both,
            Sent::All => Interest::Read,
        };
        self.watch(index, interest);
    }

    /// How many messages a publisher may send now.
    fn room(&self, at: usize) -> u64 {
        let Some(fanout) = &self.fanout else { return 0 };
        let publisher = &fanout.publishers[at];
        match (fanout.pace, fanout.reference) {
            (FanoutPace::Rate(_), _) => publisher.due - publisher.made,
            (FanoutPace::Window(_), None) => u64::MAX,
            (FanoutPace::Window(window), Some(reference)) => {
                let received = fanout.sequences.next(reference, publisher.number);
                (received + u64::from(window)).saturating_sub(publisher.made)
            }
        }
    }

    /// Makes the messages that a publisher may send, as many as one write takes.
    fn make_messages(&mut self, at: usize) {
        let (room, job) = (self.room(at), self.checker.job.clone());
        let (Some(fanout), Some(fanout_job)) = (&mut self.fanout, &job.fanout) else { return };
        let publisher = &mut fanout.publishers[at];
        let out = &mut fanout.members[publisher.index].out;
        let fits = (WRITE_BYTES / publisher.bytes).max(1) as u64;
        let now = clock::now();
        for _ in 0..room.min(fits) {
            let due = match fanout.pace {
                FanoutPace::Window(_) => now,
                FanoutPace::Rate(rate) => {
                    let publishers = job.plan.fanout.publishers;
                    fanout.start + due_after(rate, publishers, publisher.number, publisher.made)
                }
            };
            self.stats.lag.record(now.saturating_sub(due), 1);
            publisher.make(&fanout_job.format, due, now, out);
        }
    }

    /// Counts the messages that the kernel has taken whole.
    fn count_published(&mut self, at: usize) {
        let Some(fanout) = &mut self.fanout else { return };
        let publisher = &mut fanout.publishers[at];
        let waiting = fanout.members[publisher.index].out.len().div_ceil(publisher.bytes) as u64;
        let sent = publisher.made.saturating_sub(waiting).max(publisher.sent);
        self.checker.counters.lines_sent += sent - publisher.sent;
        publisher.sent = sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_take_turns_and_keep_the_rate_together() {
        let due = |publisher, message| due_after(1000.0, 4, publisher, message) / 1_000_000;
        assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(0, 1), due(2, 10)], [0, 1, 3, 4, 42]);
    }
}
