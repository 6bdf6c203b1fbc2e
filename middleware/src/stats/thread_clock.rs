//! This thread's last look at the clock, for those who need the time to a few microseconds.
//!
//! A look costs as much as the rest of the counting. A connection that runs looks when it wakes and
//! when it parks; in between, the last look is microseconds old. A batch that was answered meanwhile
//! is timed by the next look, so that most turns get along with one. On a thread that serves nothing
//! but connections, one that parks leaves its look to the next that wakes: between the two the thread
//! only went from one to the other, unless it [waited](forget).

use std::cell::Cell;

use super::Nanos;

/// What a thread knows of the time. Each in a cell of its own: most of those who come by touch two.
struct Thread {
    /// The last look.
    look: Cell<Nanos>,
    /// When the batch began that the running connection answered since.
    answered: Cell<Nanos>,
    /// A look outlives the connection that took it.
    keeps: Cell<bool>,
    /// The last look is of a connection that runs now.
    runs: Cell<bool>,
}

/// No look, or no batch.
const NONE: Nanos = Nanos(u64::MAX);

thread_local! {
    static THREAD: Thread = const {
        Thread {
            look: Cell::new(NONE),
            answered: Cell::new(NONE),
            keeps: Cell::new(false),
            runs: Cell::new(false),
        }
    };
}

/// From now on a connection that parks on this thread leaves its look at the clock to the next.
///
/// For a thread whose connections count in one [`Stats`](super::Stats), and that calls [`forget`]
/// before it waits, as `tokio::runtime::Builder::on_thread_park` lets it. A task of another kind that
/// computes long there makes the next connection appear to have woken when that began.
pub fn keep() {
    forget();
    THREAD.with(|thread| thread.keeps.set(true));
}

/// The last look will be too old: the thread waits, or did something long without looking.
pub fn forget() {
    THREAD.with(|thread| {
        thread.look.set(NONE);
        thread.runs.set(false);
    });
}

/// The last look, if it is recent.
#[inline]
pub(super) fn get() -> Option<Nanos> {
    THREAD.with(|thread| some(thread.look.get()))
}

/// The connection that runs looked.
#[inline]
pub(super) fn set(look: Nanos) {
    THREAD.with(|thread| {
        thread.look.set(look);
        thread.runs.set(true);
    });
}

/// The connection that runs stops doing so, and looked.
#[inline]
pub(super) fn leave(look: Nanos) {
    THREAD.with(|thread| {
        thread.look.set(if thread.keeps.get() { look } else { NONE });
        thread.runs.set(false);
    });
}

/// The connection that runs answered a batch that began at `begun`. Returns whether its next look will
/// tell when; not if there is another such batch, or if whoever answered is no connection.
#[inline]
pub(super) fn answered(begun: Nanos) -> bool {
    THREAD.with(|thread| {
        let first = thread.runs.get() && thread.answered.get() == NONE;
        if first {
            thread.answered.set(begun);
        }
        first
    })
}

/// When the batch began, if there is one, whose end the look tells that is taken now.
#[inline]
pub(super) fn take_answered() -> Option<Nanos> {
    THREAD.with(|thread| some(thread.answered.replace(NONE)))
}

#[inline]
fn some(nanos: Nanos) -> Option<Nanos> {
    (nanos != NONE).then_some(nanos)
}
