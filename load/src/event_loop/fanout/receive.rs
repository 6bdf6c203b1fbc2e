//! Reads frames and checks messages.

use rustix::io::Errno;

use super::sequence::Order;
use super::{EventLoop, FanoutLoop, READ_BYTES, job};
use crate::clock;
use crate::event_loop::reply_checker::ReplyChecker;
use crate::fanout::{FRAME_BYTES_MAX, Frame, Scan, Stamp, Wrong};
use crate::job::FanoutJob;
use crate::plan::Role;

/// Findings that the report describes.
const EXAMPLES_MAX: usize = 8;
/// Bytes of a finding that are shown.
const SHOWN_BYTES: usize = 60;

/// Outcome of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Frames were read; `confirmed` if the last reply to the opening was among them.
    Frames { confirmed: bool },
    /// The server answered the opening with an error.
    Refused,
    /// The server closed its side, the connection failed, or what came is no frame.
    End(Option<Errno>),
}

impl EventLoop {
    /// Reads once, and takes every whole frame.
    pub(super) fn fanout_receive(&mut self, index: usize) -> Received {
        const NOTHING: Received = Received::Frames { confirmed: false };
        let whole_job = self.checker.job.clone();
        let (Some(fanout), Some(job)) = (&mut self.fanout, job(&whole_job)) else { return NOTHING };
        let mut buffer = std::mem::take(&mut fanout.buffer);
        let into = &mut buffer[FRAME_BYTES_MAX..FRAME_BYTES_MAX + READ_BYTES];
        let read = match self.checker.transport.receive(&self.conns[index], into) {
            Ok(0) => Err(Received::End(None)),
            Ok(bytes) => Ok(bytes),
            Err(Errno::AGAIN | Errno::INTR) => Err(NOTHING),
            Err(error) => Err(Received::End(Some(error))),
        };
        let received = read.map_or_else(
            |ended| ended,
            |bytes| {
                let carry = std::mem::take(&mut fanout.members[index].carry);
                let start = FRAME_BYTES_MAX - carry.len();
                buffer[start..FRAME_BYTES_MAX].copy_from_slice(&carry);
                self.checker.now = clock::now();
                self.checker.counters.reads += 1;
                self.checker.counters.bytes_received += bytes as u64;
                fanout.take_frames(
                    job,
                    index,
                    &buffer[start..FRAME_BYTES_MAX + bytes],
                    &mut self.checker,
                )
            },
        );
        fanout.buffer = buffer;
        received
    }
}

impl FanoutLoop {
    fn take_frames(
        &mut self,
        job: &FanoutJob,
        index: usize,
        mut rest: &[u8],
        checker: &mut ReplyChecker,
    ) -> Received {
        let mut confirmed = false;
        loop {
            match job.wire.scan(rest) {
                Scan::Frame(frame, len) => {
                    rest = &rest[len..];
                    match frame {
                        Frame::Message { bytes, whole } => {
                            self.message(job, index, bytes, whole, checker);
                        }
                        Frame::Confirmed => confirmed |= self.confirmed(index),
                        Frame::Heartbeat => self.heartbeat(job, index, checker),
                        Frame::Error(text) => {
                            if self.error(index, text, checker) {
                                return Received::Refused;
                            }
                        }
                        Frame::Other => {}
                    }
                }
                // A frame that is longer than any of the protocol's has no place in front of a read.
                Scan::Incomplete if rest.len() < FRAME_BYTES_MAX => break,
                Scan::Incomplete | Scan::Malformed => {
                    checker.counters.corrupted += 1;
                    checker.fanout_example(
                        self.members[index].id,
                        "is not a frame of the protocol",
                        rest,
                    );
                    return Received::End(None);
                }
            }
        }
        self.members[index].carry = rest.to_vec();
        Received::Frames { confirmed }
    }

    /// Checks a message. Publishers may receive those of others, which nothing is expected of.
    #[inline]
    fn message(
        &mut self,
        job: &FanoutJob,
        index: usize,
        bytes: &[u8],
        whole: bool,
        checker: &mut ReplyChecker,
    ) {
        if self.members[index].role != Role::Subscriber {
            return;
        }
        checker.last_reply = checker.now;
        checker.counters.lines_received += 1;
        checker.counters.checked += 1;
        self.members[index].delivered += 1;
        let stamp = match job.format.decode(bytes) {
            Ok(_) if whole && bytes.len() != job.format.bytes() => Err(Wrong::Corrupted),
            other => other,
        };
        match stamp {
            Ok(stamp) => self.in_order(index, stamp, checker),
            Err(Wrong::Foreign) => {
                checker.counters.foreign += 1;
                checker.fanout_example(
                    self.members[index].id,
                    "is not a message of this run",
                    bytes,
                );
            }
            Err(Wrong::Corrupted) => {
                checker.counters.corrupted += 1;
                checker.fanout_example(self.members[index].id, "is not what was published", bytes);
            }
        }
    }

    #[inline]
    fn in_order(&mut self, index: usize, stamp: Stamp, checker: &mut ReplyChecker) {
        let finding = match self.sequences.receive(index, stamp.publisher, stamp.number) {
            Order::Next => None,
            Order::Skipped(count) => Some(format!("came without the {count} before it")),
            Order::Late => {
                checker.counters.reordered += 1;
                Some("came after a later one".to_owned())
            }
            Order::Twice => {
                checker.counters.duplicated += 1;
                checker.fanout_finding(self.members[index].id, || {
                    format!("message {} of publisher {} came again", stamp.number, stamp.publisher)
                });
                return;
            }
        };
        if let Some(how) = finding {
            checker.fanout_finding(self.members[index].id, || {
                format!("message {} of publisher {} {how}", stamp.number, stamp.publisher)
            });
        }
        checker.service.record(checker.now.saturating_sub(stamp.sent), 1);
        if checker.job.plan.is_paced() {
            checker.response.record(checker.now.saturating_sub(stamp.due), 1);
        }
    }

    /// Notes a confirmation; returns whether it was the last one.
    fn confirmed(&mut self, index: usize) -> bool {
        let left = &mut self.members[index].unconfirmed;
        let was = *left;
        *left = left.saturating_sub(1);
        was == 1
    }

    fn heartbeat(&mut self, job: &FanoutJob, index: usize, checker: &mut ReplyChecker) {
        checker.counters.heartbeats += 1;
        let member = &mut self.members[index];
        // A server that sends heartbeats without reading the answers is not answered without end.
        if member.out.len() < FRAME_BYTES_MAX {
            member.out.extend_from_slice(job.wire.heartbeat_answer());
            member.pongs = member.pongs.saturating_add(1);
        }
    }

    /// Counts an error of the server; returns whether it answers the opening.
    fn error(&mut self, index: usize, text: &[u8], checker: &mut ReplyChecker) -> bool {
        let member = &mut self.members[index];
        if member.unconfirmed > 0 {
            checker.fanout_example(member.id, "is the answer to its opening", text);
            return true;
        }
        if member.pongs > 0 {
            member.pongs -= 1;
            return false;
        }
        checker.counters.err_other += 1;
        checker.counters.error_replies += 1;
        checker.fanout_example(member.id, "is an error", text);
        false
    }
}

impl ReplyChecker {
    fn fanout_example(&mut self, id: u32, what: &str, bytes: &[u8]) {
        self.fanout_finding(id, || {
            let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
            format!("`{}` {what}", shown.escape_ascii())
        });
    }

    fn fanout_finding(&mut self, id: u32, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("connection {id}: {}", text()));
        }
    }
}
