//! What connections, layers and drivers of one thread share: the only thread-local state of this crate.
//!
//! A thread polls one connection at a time, so these parts need no lock. They are no arguments
//! because [`Service`](tower_service::Service), which stands between the serving loop and the layers,
//! has no parameter for them, and because a handle in every connection would cost each of them eight
//! bytes.
//!
//! | part | what it is for | written by | read by |
//! |---|---|---|---|
//! | `CLOCK` | one clock read serves several measurements: a read costs as much as the rest of the counting | the loop, at resume and park | [`Observe`](crate::Observe), through [`Stats`](crate::stats::Stats) |
//! | `READINESS` | tells the state `limit_wait` from `service` | [`ConcurrencyLimit`](crate::ConcurrencyLimit), [`ReadyPerCall`](crate::ReadyPerCall) | the loop, when it parks |
//! | `BLOCKS` | an idle connection owns no read buffer | [`FramedTransport`](crate::FramedTransport), [`Utf8LinesCodec`](crate::Utf8LinesCodec); the loop asks for small blocks | the same, and [`LinesBatchCodec`](crate::LinesBatchCodec) |
//! | `TURN` | a connection's turn ends when its work is done, whatever the work is | the loop | the loop |
//! | `YIELDING` | a flooding connection waits for the others | the loop, when it yields; [`Sha256`](crate::Sha256) between pieces | [`run_yield_queue`](crate::fairness::run_yield_queue) |
//! | `CLOSING` | deadlines that pass together close one after another | the loop, when a deadline passed | [`run_close_pacer`](crate::fairness::run_close_pacer) |
//! | `NUMBER` | threads have parts of their own in what they share | the thread itself, once | [`Semaphore`](crate::Semaphore) |
//!
//! Each part works on a thread that serves other tasks as well, and on one of a work-stealing runtime:
//! nothing in it outlives a poll of a connection, except free blocks, the number of the thread, and what the
//! drivers and [`ThreadClock::share_between_tasks`] ask for, which a current-thread runtime alone may do.

pub(crate) mod block_pool;
mod clock;
mod readiness;
mod thread_number;
mod turn;
mod waker_queue;

pub(crate) use self::{
    block_pool::BlockPool, clock::ThreadClock, readiness::Readiness, turn::Turn,
    waker_queue::WakerQueue,
};
pub(crate) use thread_number::{THREADS_MAX, known_thread_number, thread_number};
pub(crate) use waker_queue::{QueueDriver, Ticket, defer_wake};

thread_local! {
    // One static for each part and not one for all: those without a destructor are accessed without a
    // check: 6 % of the instructions of a ping-pong line in memory (docs/decisions/0025-thread-context.md).
    pub(crate) static CLOCK: ThreadClock = const { ThreadClock::new() };
    pub(crate) static READINESS: Readiness = const { Readiness::new() };
    pub(crate) static BLOCKS: BlockPool = const { BlockPool::new() };
    pub(crate) static TURN: Turn = const { Turn::new() };
    pub(crate) static YIELDING: WakerQueue = const { WakerQueue::new() };
    pub(crate) static CLOSING: WakerQueue = const { WakerQueue::new() };
}

/// From now on a connection that parks on this thread leaves its clock reading to the one that resumes
/// next.
///
/// For a thread whose connections count in one [`Stats`](crate::stats::Stats), and that calls
/// [`invalidate_clock`] before it waits, as `tokio::runtime::Builder::on_thread_park` lets it. A task of
/// another kind that computes long there makes the next connection appear to have woken when that began.
pub fn share_clock_between_tasks() {
    CLOCK.with(ThreadClock::share_between_tasks);
}

/// Drops this thread's last clock reading, which will be too old: the thread waits, or did something
/// long.
pub fn invalidate_clock() {
    CLOCK.with(ThreadClock::invalidate);
}
