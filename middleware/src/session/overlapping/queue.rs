//! Replies that wait at the same time, and the order in which they are written.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use pin_project_lite::pin_project;

use super::super::{Action, ActionOf, Overlap, Session, deferred::Back, waiting::LimitedBack};
use crate::{
    BoxError,
    response::ReplyParts,
    rest::PART_BYTES,
    thread_context::{READINESS, Readiness},
};

/// Deferred replies of a connection whose further frames are called meanwhile. Exists only while one waits.
///
/// Holds at most as many deferred replies as the session's [`Overlap`] says, [`PART_BYTES`] and one more reply of
/// those to frames behind them, and one stream.
pub(in crate::session) struct Overlapping<S: Session> {
    overlap: Overlap,
    /// Polls only the futures that were woken.
    futures: FuturesUnordered<Numbered<S>>,
    /// Replies in the order in which they are written. A future has its place from the beginning, or, with tags,
    /// from when it is done.
    queue: VecDeque<Queued<S>>,
    /// The number of the front of the queue. Numbers wrap around.
    first: usize,
    /// Deferred replies that are not answered: their futures run, or are done and in the queue.
    waiting: u32,
    /// Futures that wait for a permit.
    without_permit: Arc<AtomicU32>,
    /// Streams in the queue.
    streams: u32,
    /// Bytes of replies in the queue.
    held_bytes: usize,
    /// Written behind all other replies, and what comes then instead of further frames.
    end: Option<(BytesMut, ActionOf<S>)>,
}

/// A reply in the queue, or the place of one.
pub(super) enum Queued<S: Session> {
    /// The place of a future that runs.
    Running,
    Done(Done<S>),
    /// Replies to frames that were answered at once.
    Said(BytesMut),
    Parts(ReplyParts),
}

/// A deferred reply whose future is done, or has failed.
pub(super) struct Done<S: Session> {
    pub(super) result: Result<Back<S::Protocol, S>, BoxError>,
    /// The reply is one to a frame.
    pub(super) is_frame: bool,
}

/// The end of the queue at which something is put into it.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Front,
    Back,
}

pin_project! {
    /// A future, and the number of its place in the queue.
    struct Numbered<S: Session> {
        number: usize,
        is_frame: bool,
        waits_for_permit: bool,
        without_permit: Arc<AtomicU32>,
        #[pin]
        limited: LimitedBack<S>,
    }
}

impl<S: Session> Future for Numbered<S> {
    type Output = (usize, Done<S>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(usize, Done<S>)> {
        let this = self.project();
        let polled = this.limited.poll(cx);
        let waits_for_permit = READINESS.with(Readiness::take_awaited);
        if waits_for_permit != *this.waits_for_permit {
            *this.waits_for_permit = waits_for_permit;
            if waits_for_permit {
                this.without_permit.fetch_add(1, Relaxed);
            } else {
                this.without_permit.fetch_sub(1, Relaxed);
            }
        }
        polled.map(|result| (*this.number, Done { result, is_frame: *this.is_frame }))
    }
}

impl<S: Session> Overlapping<S> {
    /// Whether a reply in parts is among those that wait.
    pub(in crate::session) const fn has_stream(&self) -> bool {
        self.streams > 0
    }

    /// Begins with a reply that waits.
    pub(in crate::session) fn new(
        overlap: Overlap,
        limited: LimitedBack<S>,
        is_frame: bool,
    ) -> Self {
        let mut overlapping = Self {
            overlap,
            futures: FuturesUnordered::new(),
            queue: VecDeque::new(),
            first: 0,
            waiting: 0,
            without_permit: Arc::default(),
            streams: 0,
            held_bytes: 0,
            end: None,
        };
        overlapping.run(limited, is_frame, End::Back);
        overlapping
    }

    /// Whether the next frame may be called.
    pub(in crate::session) fn takes_frame(&self) -> bool {
        self.waiting < self.overlap.replies_max()
            && self.held_bytes < PART_BYTES
            && self.streams == 0
            && self.end.is_none()
    }

    /// Bytes of replies that wait for their turn.
    pub(in crate::session) fn held_bytes(&self) -> usize {
        self.held_bytes + self.end.as_ref().map_or(0, |(last_words, _)| last_words.len())
    }

    pub(super) const fn is_tagged(&self) -> bool {
        self.overlap.is_tagged()
    }

    /// Whether nothing waits any more. Last words may be left.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0 && self.queue.is_empty()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Queued<S>> {
        self.queue.front_mut()
    }

    pub(super) fn put(&mut self, queued: Queued<S>, end: End) {
        match &queued {
            Queued::Running | Queued::Done(_) => self.waiting += 1,
            Queued::Said(said) => self.held_bytes += said.len(),
            Queued::Parts(_) => self.streams += 1,
        }
        match end {
            End::Front => {
                self.first = self.first.wrapping_sub(1);
                self.queue.push_front(queued);
            }
            End::Back => self.queue.push_back(queued),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Queued<S>> {
        let queued = self.queue.pop_front()?;
        self.first = self.first.wrapping_add(1);
        self.took(&queued);
        Some(queued)
    }

    fn took(&mut self, queued: &Queued<S>) {
        match queued {
            Queued::Running | Queued::Done(_) => self.waiting -= 1,
            Queued::Said(said) => self.held_bytes -= said.len(),
            Queued::Parts(_) => self.streams -= 1,
        }
    }

    /// Adds a future, which is polled when it is woken.
    pub(super) fn run(&mut self, limited: LimitedBack<S>, is_frame: bool, end: End) {
        let number = match end {
            End::Front => self.first.wrapping_sub(1),
            End::Back => self.first.wrapping_add(self.queue.len()),
        };
        let without_permit = self.without_permit.clone();
        let waits_for_permit = false;
        let numbered = Numbered { number, is_frame, waits_for_permit, without_permit, limited };
        self.futures.push(numbered);
        if self.is_tagged() {
            self.waiting += 1;
        } else {
            self.put(Queued::Running, end);
        }
    }

    /// Takes a future that is done, and puts its value into its place in the queue. Returns whether there was one.
    pub(in crate::session) fn take_done(&mut self, cx: &mut Context<'_>) -> bool {
        let next = Pin::new(&mut self.futures).poll_next(cx);
        if self.without_permit.load(Relaxed) > 0 {
            READINESS.with(Readiness::set_awaited);
        }
        let Poll::Ready(Some((number, done))) = next else { return false };
        if self.is_tagged() {
            self.queue.push_back(Queued::Done(done));
        } else if let Some(place) = self.queue.get_mut(number.wrapping_sub(self.first)) {
            *place = Queued::Done(done);
        }
        true
    }

    /// Takes the replies at the back of the queue, to which more are appended.
    pub(super) fn take_said(&mut self) -> BytesMut {
        let Some(Queued::Said(said)) = self.queue.back_mut() else { return BytesMut::new() };
        let said = std::mem::take(said);
        self.held_bytes -= said.len();
        self.queue.pop_back();
        said
    }

    /// Writes replies at the front of the queue, up to `bytes_max` of them, to `out`. Returns whether that was
    /// all of them.
    pub(super) fn write_said(&mut self, out: &mut BytesMut, bytes_max: usize) -> bool {
        let Some(Queued::Said(said)) = self.queue.front_mut() else { return true };
        let bytes = said.len().min(bytes_max);
        out.extend_from_slice(&said[..bytes]);
        said.advance(bytes);
        self.held_bytes -= bytes;
        said.is_empty()
    }

    /// Ends the calls: `action` comes behind what waits, and `last_words`. A later one replaces that of an earlier
    /// call, unless that is a close.
    pub(super) fn end_behind(&mut self, last_words: &[u8], action: ActionOf<S>) {
        let (words, end) = self.end.get_or_insert((BytesMut::new(), Action::Continue));
        words.extend_from_slice(last_words);
        if !matches!(end, Action::Close) {
            *end = action;
        }
    }

    /// Takes the last words, and what comes behind them, if the calls have ended.
    pub(super) fn take_end(&mut self) -> Option<(BytesMut, ActionOf<S>)> {
        self.end.take()
    }
}
