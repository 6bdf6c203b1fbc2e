//! The time in which replies wait, by what they wait for.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use towline_host::TcpInfo;
use towline_middleware::stats::State;

use super::{KernelView, ListedRow, cause, nanos};
use crate::counts::{PublicId, WriteWaitCause};

/// A connection is looked at when it has waited for this long.
const LOOKED_AT_AFTER: Duration = Duration::from_secs(1);

/// Connections that are looked at each time. Of more, those that have waited longest.
const LOOKED_AT_MAX: usize = 256;

/// What was found out about waits for peers to take replies.
#[derive(Debug, Default)]
pub(crate) struct WriteWaits(Mutex<Attributed>);

#[derive(Debug, Default)]
struct Attributed {
    /// Time waited, by cause, up to the last look.
    nanos: [u64; WriteWaitCause::ALL.len()],
    /// Time waited in all, up to the last look.
    total_nanos: u64,
    /// The connections that were looked at last.
    looked_at: HashMap<PublicId, LookedAt>,
}

#[derive(Debug)]
struct LookedAt {
    at: Instant,
    info: TcpInfo,
    write_wait: Duration,
    /// What it had waited without a break before the first look: it is given to the cause that the second one finds.
    before_first: Duration,
    cause: Option<WriteWaitCause>,
}

impl WriteWaits {
    fn found(&self) -> MutexGuard<'_, Attributed> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds waited by cause, indexed by [`WriteWaitCause`], up to the last look. They add up to the time in
    /// the state `write_wait` then, less that of waits which are too young for a cause.
    pub(crate) fn nanos(&self) -> [u64; WriteWaitCause::ALL.len()] {
        self.found().nanos
    }

    /// Looks at those of `rows` that wait, and attributes what they waited since the last look. `total_nanos` is what
    /// all connections have waited.
    ///
    /// *Costs*: some system calls for each connection that waits, of 256 at most.
    pub(crate) fn look(&self, rows: Vec<ListedRow>, kernel: &mut KernelView, total_nanos: u64) {
        let (young, waiting) = longest_waits(rows);
        let mut found = self.found();
        found.look(waiting, kernel, Instant::now());
        let first = found.looked_at.values().map(|looked_at| looked_at.before_first);
        let undecided = young + first.sum::<Duration>();
        found.settle(total_nanos, nanos(undecided));
    }

    /// Attributes nothing: no connection waits, or the kernel does not say why.
    pub(crate) fn skip(&self, total_nanos: u64) {
        let mut found = self.found();
        found.looked_at.clear();
        found.settle(total_nanos, 0);
    }

    /// Why the connections that were looked at wait.
    pub(crate) fn causes(&self) -> HashMap<PublicId, WriteWaitCause> {
        let found = self.found();
        let causes =
            found.looked_at.iter().filter_map(|(id, looked_at)| Some((*id, looked_at.cause?)));
        causes.collect()
    }
}

impl Attributed {
    /// Looks at connections that wait.
    fn look(&mut self, waiting: Vec<ListedRow>, kernel: &mut KernelView, now: Instant) {
        let mut before = std::mem::take(&mut self.looked_at);
        for row in waiting {
            let socket = kernel.socket(row.peer);
            let Some(info) = socket.and_then(|socket| socket.info) else { continue };
            let mut looked_at = LookedAt {
                at: now,
                info,
                write_wait: row.write_wait,
                before_first: row.state_for,
                cause: None,
            };
            if let Some(before) = before.remove(&row.id) {
                let apart = now - before.at;
                let cause = cause::find(&before.info, &looked_at.info, apart);
                looked_at.cause = Some(cause);
                looked_at.before_first = Duration::ZERO;
                let waited = row.write_wait.saturating_sub(before.write_wait);
                if cause != WriteWaitCause::Unknown {
                    self.nanos[cause as usize] += nanos(waited + before.before_first);
                }
            }
            self.looked_at.insert(row.id, looked_at);
        }
    }

    /// Gives what was not attributed to [`WriteWaitCause::Unknown`], but for waits whose cause may still be found.
    fn settle(&mut self, total_nanos: u64, undecided_nanos: u64) {
        self.total_nanos = self.total_nanos.max(total_nanos);
        let attributed: u64 = self.nanos.iter().sum();
        let rest = self.total_nanos.saturating_sub(attributed.saturating_add(undecided_nanos));
        self.nanos[WriteWaitCause::Unknown as usize] += rest;
    }
}

/// The connections that have waited longest now, and the time of those together that have not waited long enough.
fn longest_waits(mut rows: Vec<ListedRow>) -> (Duration, Vec<ListedRow>) {
    rows.retain(|row| row.state == State::WriteWait);
    let is_young = |row: &&ListedRow| row.state_for < LOOKED_AT_AFTER;
    let young = rows.iter().filter(is_young).map(|row| row.state_for).sum();
    rows.retain(|row| row.state_for >= LOOKED_AT_AFTER);
    if rows.len() > LOOKED_AT_MAX {
        rows.select_nth_unstable_by_key(LOOKED_AT_MAX, |row| std::cmp::Reverse(row.state_for));
        rows.truncate(LOOKED_AT_MAX);
    }
    (young, rows)
}
