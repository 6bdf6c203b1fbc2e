//! This thread's last look at the clock, for those who need the time to a few microseconds.
//!
//! A look costs as much as the rest of the counting. A connection that runs looks when it wakes,
//! when a batch is answered and when it parks; in between, the last look is microseconds old. On a
//! thread that serves nothing but connections, one that parks leaves its look to the next that
//! wakes: between the two the thread only went from one to the other, unless it [waited](forget).

use std::cell::Cell;

use super::Nanos;

#[derive(Debug, Clone, Copy)]
struct Recent {
    nanos: Nanos,
    /// It outlives the connection that looked.
    kept: bool,
}

const NONE: Nanos = Nanos(u64::MAX);

thread_local! {
    static RECENT: Cell<Recent> = const { Cell::new(Recent { nanos: NONE, kept: false }) };
}

/// From now on a connection that parks on this thread leaves its look at the clock to the next.
///
/// For a thread whose connections count in one [`Stats`](super::Stats), and that calls [`forget`]
/// before it waits, as `tokio::runtime::Builder::on_thread_park` lets it. A task of another kind that
/// computes long there makes the next connection appear to have woken when that began.
pub fn keep() {
    RECENT.set(Recent { nanos: NONE, kept: true });
}

/// The last look will be too old: the thread waits, or did something long without looking.
pub fn forget() {
    RECENT.set(Recent { nanos: NONE, ..RECENT.get() });
}

/// The last look, if it is recent.
#[inline]
pub(super) fn get() -> Option<Nanos> {
    let nanos = RECENT.get().nanos;
    (nanos != NONE).then_some(nanos)
}

/// A connection that runs looked.
#[inline]
pub(super) fn set(nanos: Nanos) {
    RECENT.set(Recent { nanos, ..RECENT.get() });
}

/// The connection that runs stops doing so, and looked.
#[inline]
pub(super) fn leave(nanos: Nanos) {
    let kept = RECENT.get().kept;
    RECENT.set(Recent { nanos: if kept { nanos } else { NONE }, kept });
}
