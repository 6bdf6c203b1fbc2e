//! What the processes of one place have counted, one after another: nothing is lost with a process
//! but what it could no longer tell, and no sum goes back.

use towline_middleware::stats::CloseReason;

use towline::internal::Snapshot;

/// The accounts of one place among the workers, whose process may have been started again.
#[derive(Debug, Default)]
pub(crate) struct WorkerTotals {
    /// What ended processes had counted.
    ended: Snapshot,
    /// What the process there is now told last.
    last: Snapshot,
    restarts: u64,
}

impl WorkerTotals {
    /// The process tells what it counted.
    pub(crate) fn note(&mut self, told: Snapshot) {
        self.last = told;
    }

    /// The process is gone, in order or not. `handed` connections it was given.
    ///
    /// Those it had not accounted for are booked as lost with it. It cannot be asked which of them
    /// ended for another reason after it told last.
    pub(crate) fn close(&mut self, handed: u64) {
        let mut last = std::mem::take(&mut self.last);
        let counted = &mut last.counted;
        counted.accepted = counted.accepted.max(handed);
        let closed: u64 = counted.closed.iter().sum();
        counted.closed[CloseReason::WorkerLost as usize] += counted.accepted.saturating_sub(closed);
        // What it held, it holds no more.
        last.held = Default::default();
        for worker in &mut last.workers {
            worker.connections = 0;
        }
        self.ended.add(&last);
    }

    /// A connection that was to come here ended, because no process took it.
    pub(crate) fn lose(&mut self) {
        self.ended.counted.accepted += 1;
        self.ended.counted.closed[CloseReason::WorkerLost as usize] += 1;
    }

    /// The process is started again.
    pub(crate) fn restart(&mut self) {
        self.restarts += 1;
    }

    /// All that was counted here, and what is held now, with as many threads as there are.
    pub(crate) fn total(&self, threads: usize) -> Snapshot {
        let mut total = self.ended.clone();
        total.add(&self.last);
        total.workers.resize(threads, Default::default());
        if let Some(first) = total.workers.first_mut() {
            first.restarts = self.restarts;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use towline_middleware::stats::State;

    use super::*;

    fn counted(accepted: u64, by_peer: u64, open: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.counted.accepted = accepted;
        snapshot.counted.closed[CloseReason::PeerEof as usize] = by_peer;
        snapshot.counted.lines_received = 10 * accepted;
        snapshot.held.connections[State::Idle as usize] = open;
        snapshot.held.resident_bytes = 1 << 20;
        snapshot.workers = vec![Default::default(); 2];
        snapshot.workers[0].connections = open;
        snapshot.workers[0].busy_nanos = accepted;
        snapshot
    }

    #[track_caller]
    fn balances(totals: &WorkerTotals, accepted: u64, lost: u64, open: u64) {
        let total = totals.total(2);
        let closed: u64 = total.counted.closed.iter().sum();
        assert_eq!(total.counted.accepted, accepted);
        assert_eq!(total.counted.closed[CloseReason::WorkerLost as usize], lost);
        assert_eq!((total.held.open(), accepted - closed), (open, open));
    }

    #[test]
    fn a_lost_process_s_connections_are_lost_and_its_counts_kept() {
        let mut totals = WorkerTotals::default();
        balances(&totals, 0, 0, 0);
        totals.note(counted(100, 90, 10));
        balances(&totals, 100, 0, 10);
        // Five more were handed over since, and nobody knows what became of them.
        totals.close(105);
        balances(&totals, 105, 15, 0);
        totals.restart();
        let total = totals.total(2);
        assert_eq!(total.counted.lines_received, 1000);
        assert_eq!((total.workers[0].busy_nanos, total.workers[0].restarts), (100, 1));
        assert_eq!((total.workers[0].connections, total.held.resident_bytes), (0, 0));

        totals.note(counted(3, 1, 2));
        balances(&totals, 108, 15, 2);
        assert_eq!(totals.total(2).counted.lines_received, 1030);
        assert_eq!(totals.total(2).workers[0].busy_nanos, 103);
    }

    #[test]
    fn a_process_that_ended_in_order_loses_nothing() {
        let mut totals = WorkerTotals::default();
        totals.note(counted(7, 7, 0));
        totals.close(7);
        balances(&totals, 7, 0, 0);
    }

    #[test]
    fn one_that_never_told_anything_lost_what_it_was_handed() {
        let mut totals = WorkerTotals::default();
        totals.close(4);
        totals.restart();
        balances(&totals, 4, 4, 0);
        let workers = totals.total(2).workers;
        assert_eq!((workers.len(), workers[0].restarts), (2, 1));
    }
}
