use std::{
    fmt,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{
    answer::Answering,
    detached::DetachedStream,
    peer_end::{PendingCall, WaitingBatch},
    respond::Respond,
    secure::Securing,
    shard_link::ShardLink,
};
use crate::{
    Batch, BoxError, Transport,
    connections::{ConnectionEnd, ConnectionRow, PeerAddress},
    fairness::{FloodHint, Ticket},
    protocol::{Lf, Protocol},
    stats::CloseReason,
    thread_context::TURN,
    transport::Phase,
};

/// The state of a connection's loop. What only some steps need is boxed, so that an idle connection does
/// not have room for it.
pub(super) enum Step<P: Protocol, S: Respond<P>> {
    Open {
        /// Lines given to the sink since the last write; counted only under `WritePolicy::Every`.
        unflushed: u32,
        flood_hint: FloodHint,
        ticket: Ticket,
    },
    Waiting(Box<WaitingBatch<P>>),
    Serving {
        call: Box<PendingCall<S::Call>>,
        /// Bytes of the batch.
        in_hand: u32,
        flood_hint: FloodHint,
    },
    /// Replies that go to the sink in pieces, with a write after each.
    Feeding(Box<Feed<P>>),
    /// A reply that comes in parts.
    Answering(Box<Answering<S::Call>>),
    /// A byte stream, which a future of the program's serves.
    Detached(Box<DetachedStream>),
    /// A TLS handshake in the middle of the connection.
    Securing(Box<Securing>),
    /// A session's connection, before anything was read.
    Opening,
    Flushing {
        /// As in `Open`.
        unflushed: u32,
        flood_hint: FloodHint,
        ticket: Ticket,
    },
    /// A deadline passed: the connection ends when the close pacer, or anything else, wakes it.
    Expired(CloseReason),
    Closing(CloseReason),
    /// Closes because the service failed, with this error.
    Failed(Box<BoxError>),
    Lingering(Box<Linger>),
}

impl<P: Protocol, S: Respond<P>> Step<P, S> {
    /// Nothing being served and nothing unwritten.
    pub(super) const OPEN: Self = Self::open(0, FloodHint::NONE);

    pub(super) const fn open(unflushed: u32, flood_hint: FloodHint) -> Self {
        Self::Open { unflushed, flood_hint, ticket: Ticket::NONE }
    }

    pub(super) const fn flushing(unflushed: u32, flood_hint: FloodHint) -> Self {
        Self::Flushing { unflushed, flood_hint, ticket: Ticket::NONE }
    }

    /// Whether the step is `Open`, outside the yield queue and not about to join it: that of most wake-ups.
    #[inline]
    pub(super) const fn is_plainly_open(&self) -> bool {
        matches!(self, Self::Open { ticket, flood_hint, .. }
            if !ticket.is_some() && !flood_hint.must_queue())
    }

    /// The connection's place in the yield queue, in the steps from which it yields.
    pub(super) fn ticket_mut(&mut self) -> Option<&mut Ticket> {
        match self {
            Self::Open { ticket, .. } | Self::Flushing { ticket, .. } => Some(ticket),
            Self::Feeding(feed) => Some(&mut feed.ticket),
            Self::Answering(answering) => Some(&mut answering.ticket),
            Self::Detached(detached) => Some(&mut detached.ticket),
            Self::Lingering(linger) => Some(&mut linger.ticket),
            _ => None,
        }
    }

    /// The hint of a step that has one; else the initial value.
    pub(super) fn flood_hint(&self) -> FloodHint {
        match self {
            Self::Open { flood_hint, .. }
            | Self::Serving { flood_hint, .. }
            | Self::Flushing { flood_hint, .. } => *flood_hint,
            Self::Feeding(feed) => feed.flood_hint,
            Self::Answering(answering) => answering.flood_hint,
            _ => FloodHint::NONE,
        }
    }

    /// The hint of a step that has one.
    pub(super) fn flood_hint_mut(&mut self) -> Option<&mut FloodHint> {
        match self {
            Self::Open { flood_hint, .. }
            | Self::Serving { flood_hint, .. }
            | Self::Flushing { flood_hint, .. } => Some(flood_hint),
            Self::Feeding(feed) => Some(&mut feed.flood_hint),
            Self::Answering(answering) => Some(&mut answering.flood_hint),
            _ => None,
        }
    }

    /// The error of the service that ends the connection, once.
    #[inline]
    pub(super) fn take_service_error(&mut self) -> Option<BoxError> {
        match self {
            Self::Failed(_) | Self::Lingering(_) => self.take_error(),
            _ => None,
        }
    }

    #[cold]
    fn take_error(&mut self) -> Option<BoxError> {
        if let Self::Lingering(linger) = self {
            return linger.service_error.take();
        }
        match std::mem::replace(self, Self::Closing(CloseReason::ServiceError)) {
            Self::Failed(error) => Some(*error),
            _ => None,
        }
    }

    /// Why the connection is closing already.
    #[cold]
    pub(super) fn closes_for(&self) -> Option<CloseReason> {
        match self {
            Self::Closing(reason) => Some(*reason),
            Self::Failed(_) => Some(CloseReason::ServiceError),
            Self::Lingering(linger) => Some(linger.reason),
            _ => None,
        }
    }

    /// Whether a batch waits for the rate of its peer's address.
    pub(super) fn is_throttled(&self) -> bool {
        matches!(self, Self::Waiting(waiting) if waiting.throttled.is_some())
    }

    /// Bytes of the batch that waits or is being served.
    pub(super) fn in_hand(&self) -> usize {
        match self {
            Self::Waiting(waiting) => waiting.batch.as_bytes().len(),
            Self::Serving { in_hand, .. } => *in_hand as usize,
            Self::Answering(answering) => answering.in_hand as usize,
            Self::Detached(detached) => detached.held_bytes(),
            _ => 0,
        }
    }
}

/// What a connection that is polled has to do with the yield queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Nothing: it runs.
    Skip,
    /// It joins the queue before it reads or serves anything.
    Join,
    /// It is in the queue still: something else woke it.
    Wait,
}

/// What a step leads to.
pub(super) enum Transition {
    /// The step that is set now.
    Continue,
    /// The task parks until something happens.
    Park(Phase),
    /// Other connections run, then the step that is set.
    Yield,
    /// The connection ends.
    End(CloseReason),
}

/// A reply on its way to the sink, under [`WritePolicy::Every`](super::WritePolicy::Every).
pub(super) struct Feed<P: Protocol> {
    pub(super) rest: Batch<P>,
    /// Lines between two writes, by the policy when the reply came.
    pub(super) every: NonZeroU32,
    /// Lines given to the sink since the last write.
    pub(super) unflushed: u32,
    pub(super) flood_hint: FloodHint,
    pub(super) ticket: Ticket,
}

/// The time between our close and the peer's.
pub(super) struct Linger {
    pub(super) reason: CloseReason,
    pub(super) service_error: Option<BoxError>,
    pub(super) timer: Pin<Box<Sleep>>,
    /// Bytes that may still be read and discarded.
    pub(super) left_bytes: usize,
    pub(super) ticket: Ticket,
}

pin_project! {
    /// One connection being served: a future that ends when the connection does, with the reason, or with
    /// the error of the service that ended it ([`CloseReason::ServiceError`]).
    ///
    /// Made by [`Serve`](super::Serve). Dropping it cuts the connection, which then counts as
    /// [`CloseReason::Shutdown`], or as [`CloseReason::ServicePanic`] while panicking.
    #[project = Projection]
    #[must_use = "futures do nothing unless polled"]
    pub struct Connection<T, S: Respond<P>, P: Protocol = Lf> {
        #[pin]
        pub(super) transport: T,
        pub(super) service: S,
        pub(super) step: Step<P, S>,
        pub(super) shard: ShardLink,
    }
}

impl<T, S: Respond<P>, P: Protocol> Connection<T, S, P> {
    pub(super) fn new(transport: T, service: S, shard: ShardLink) -> Self {
        let step = if S::IS_SESSION { Step::Opening } else { Step::OPEN };
        Self { transport, service, step, shard }
    }

    /// The transport.
    pub const fn get_ref(&self) -> &T {
        &self.transport
    }

    /// Sets the peer's address in the shard's list of [connections](crate::connections). Default:
    /// [`PeerAddress::Unix`].
    pub fn set_peer(&self, peer: PeerAddress) {
        self.shard.set_peer(peer);
    }

    /// Has what is pushed written by the shard's [`WriteNow`](crate::push::WriteNow), which knows the stream by
    /// `stream`, while the connection only waits for input. Default: the connection's own task writes it. The
    /// stream must be open for as long as the connection is served.
    pub fn set_stream_id(&self, stream: i32) {
        if let Some(recipient) = self.service.recipient() {
            recipient.set_stream_id(stream);
        }
    }

    /// Its row in the shard's list of [connections](crate::connections); `None` where nothing is counted.
    pub fn row(&self) -> Option<ConnectionRow> {
        self.shard.row()
    }

    /// Counts the connection as ended, as its drop does, and returns how it ended. For an owner that drops it
    /// and reports that.
    pub fn end(self: Pin<&mut Self>) -> ConnectionEnd {
        self.project().shard.end()
    }

    /// The error of the service, if that ended the connection; once.
    ///
    /// For a caller that reports it while the peer is still connected: the connection yields between the
    /// error and its close, which may take seconds. A caller that takes it here gets
    /// [`CloseReason::ServiceError`] in its place when the connection ends.
    #[inline]
    pub fn take_service_error(self: Pin<&mut Self>) -> Option<BoxError> {
        self.project().step.take_service_error()
    }
}

impl<T, S, P> Future for Connection<T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    type Output = Result<CloseReason, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let now = this.shard.resume();
        this.begin_push_turn();
        let queue = if this.step.is_plainly_open() { Queue::Skip } else { this.queue(cx) };
        let reason = if queue == Queue::Wait {
            ready!(this.flush_in_queue(cx))
        } else {
            let yielded = now.is_none() && this.shard.stats().is_counted();
            TURN.with(|turn| turn.begin(now, yielded, queue == Queue::Join));
            ready!(this.run(cx))
        };
        this.service.close(reason);
        this.shard.close(reason);
        Poll::Ready(this.step.take_service_error().map_or(Ok(reason), Err))
    }
}

impl<T, S: Respond<P>, P: Protocol> fmt::Debug for Connection<T, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("shard", &self.shard).finish_non_exhaustive()
    }
}
