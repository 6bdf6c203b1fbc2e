//! This thread's last look at the clock, for those who need the time to a few microseconds.
//!
//! A look costs as much as the rest of the counting. A connection that running looks when it wakes and
//! when it parks; in between, the last look is microseconds old. A batch that was answered meanwhile
//! is timed by the next look, so that most turns get along with one. On a thread that serves nothing
//! but connections, one that parks leaves its look to the next that wakes: between the two the thread
//! only went from one to the other, unless it [waited](invalidate).

use std::cell::Cell;

use crate::stats::Nanos;

/// What a thread knows of the time. Each in a cell of its own: most of those who come by touch two.
struct ThreadClock {
    /// The last look.
    now: Cell<Nanos>,
    /// When the batch began that the running connection answered since.
    replied: Cell<Nanos>,
    /// A look outlives the connection that took it.
    outlives_task: Cell<bool>,
    /// The last look is of a connection that running now.
    running: Cell<bool>,
}

/// No look, or no batch.
const NONE: Nanos = Nanos(u64::MAX);

thread_local! {
    static THREAD_CLOCK: ThreadClock = const {
        ThreadClock {
            now: Cell::new(NONE),
            replied: Cell::new(NONE),
            outlives_task: Cell::new(false),
            running: Cell::new(false),
        }
    };
}

/// From now on a connection that parks on this thread leaves its look at the clock to the next.
///
/// For a thread whose connections count in one [`Stats`](super::Stats), and that calls [`invalidate`]
/// before it waits, as `tokio::runtime::Builder::on_thread_park` lets it. A task of another kind that
/// computes long there makes the next connection appear to have woken when that began.
pub fn share_between_tasks() {
    invalidate();
    THREAD_CLOCK.with(|clock| clock.outlives_task.set(true));
}

/// The last look will be too old: the thread waits, or did something long without looking.
pub fn invalidate() {
    THREAD_CLOCK.with(|clock| {
        clock.now.set(NONE);
        clock.running.set(false);
    });
}

/// The last look, if it is recent.
#[inline]
pub(crate) fn get() -> Option<Nanos> {
    THREAD_CLOCK.with(|clock| some(clock.now.get()))
}

/// The connection that running looked.
#[inline]
pub(crate) fn set(now: Nanos) {
    THREAD_CLOCK.with(|clock| {
        clock.now.set(now);
        clock.running.set(true);
    });
}

/// The connection that running stops doing so, and looked.
#[inline]
pub(crate) fn park(now: Nanos) {
    THREAD_CLOCK.with(|clock| {
        clock.now.set(if clock.outlives_task.get() { now } else { NONE });
        clock.running.set(false);
    });
}

/// The connection that running answered a batch that began at `begun`. Returns whether its next look will
/// tell when; not if there is another such batch, or if whoever answered is no connection.
#[inline]
pub(crate) fn set_replied(begun: Nanos) -> bool {
    THREAD_CLOCK.with(|clock| {
        let first = clock.running.get() && clock.replied.get() == NONE;
        if first {
            clock.replied.set(begun);
        }
        first
    })
}

/// When the batch began, if there is one, whose end the look tells that is taken now.
#[inline]
pub(crate) fn take_replied() -> Option<Nanos> {
    THREAD_CLOCK.with(|clock| some(clock.replied.replace(NONE)))
}

#[inline]
fn some(nanos: Nanos) -> Option<Nanos> {
    (nanos != NONE).then_some(nanos)
}
