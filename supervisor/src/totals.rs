//! The counts of one worker slot over all processes that have run in it. A dead process loses only
//! what it had not reported, and no sum goes back.

use towline::internal::Snapshot;
use towline_middleware::stats::CloseReason;

/// The counts of one worker slot.
#[derive(Debug, Default)]
pub(crate) struct WorkerTotals {
    /// Counts of ended processes.
    ended: Snapshot,
    /// Last report of the running process.
    last: Snapshot,
    restarts: u64,
}

impl WorkerTotals {
    /// Records a report of the running process.
    pub(crate) fn record(&mut self, snapshot: Snapshot) {
        self.last = snapshot;
    }

    /// The process has ended, in order or not, after `sent` connections were sent to it.
    ///
    /// Connections that it did not report as closed count as `worker_lost`, even if some of them were
    /// closed for another reason after its last report, and as open until now.
    pub(crate) fn process_ended(&mut self, sent: u64, now_nanos: u64) {
        let mut last = std::mem::take(&mut self.last);
        last.extrapolate(now_nanos);
        let counted = &mut last.counted;
        counted.accepted = counted.accepted.max(sent);
        let closed: u64 = counted.closed.iter().sum();
        counted.closed[CloseReason::WorkerLost as usize] += counted.accepted.saturating_sub(closed);
        // Gauges end with the process.
        last.held = Default::default();
        for shard in &mut last.shards {
            shard.connections = 0;
        }
        self.ended.add(&last);
    }

    /// Counts a connection for this slot that was closed because no process took it.
    pub(crate) fn count_undelivered(&mut self) {
        self.ended.counted.accepted += 1;
        self.ended.counted.closed[CloseReason::WorkerLost as usize] += 1;
    }

    /// Counts a restart.
    pub(crate) fn count_restart(&mut self) {
        self.restarts += 1;
    }

    /// Restarts so far.
    pub(crate) const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The counts of all processes and the gauges of the running one, for `threads` threads. Connections
    /// count as waiting from its last report until now.
    pub(crate) fn total(&self, threads: usize, now_nanos: u64) -> Snapshot {
        let mut total = self.last.clone();
        total.extrapolate(now_nanos);
        total.add(&self.ended);
        total.shards.resize(threads, Default::default());
        if let Some(first) = total.shards.first_mut() {
            first.restarts = self.restarts;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use towline_middleware::stats::State;

    use super::*;

    fn report(accepted: u64, closed_by_peer: u64, open: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.counted.accepted = accepted;
        snapshot.counted.closed[CloseReason::PeerEof as usize] = closed_by_peer;
        snapshot.counted.lines_received = 10 * accepted;
        snapshot.held.connections[State::Idle as usize] = open;
        snapshot.held.resident_bytes = 1 << 20;
        snapshot.shards = vec![Default::default(); 2];
        snapshot.shards[0].connections = open;
        snapshot.shards[0].busy_nanos = accepted;
        snapshot
    }

    #[track_caller]
    fn assert_balanced(totals: &WorkerTotals, accepted: u64, lost: u64, open: u64) {
        let total = totals.total(2, 0);
        let closed: u64 = total.counted.closed.iter().sum();
        assert_eq!(total.counted.accepted, accepted);
        assert_eq!(total.counted.closed[CloseReason::WorkerLost as usize], lost);
        assert_eq!((total.held.open(), accepted - closed), (open, open));
    }

    #[test]
    fn a_dead_process_loses_its_connections_and_keeps_its_counts() {
        let mut totals = WorkerTotals::default();
        assert_balanced(&totals, 0, 0, 0);
        totals.record(report(100, 90, 10));
        assert_balanced(&totals, 100, 0, 10);
        // Five more were sent since the last report.
        totals.process_ended(105, 0);
        assert_balanced(&totals, 105, 15, 0);
        totals.count_restart();
        let total = totals.total(2, 0);
        assert_eq!(total.counted.lines_received, 1000);
        assert_eq!((total.shards[0].busy_nanos, total.shards[0].restarts), (100, 1));
        assert_eq!((total.shards[0].connections, total.held.resident_bytes), (0, 0));

        totals.record(report(3, 1, 2));
        assert_balanced(&totals, 108, 15, 2);
        assert_eq!(totals.total(2, 0).counted.lines_received, 1030);
        assert_eq!(totals.total(2, 0).shards[0].busy_nanos, 103);
    }

    #[test]
    fn a_process_that_ends_in_order_loses_nothing() {
        let mut totals = WorkerTotals::default();
        totals.record(report(7, 7, 0));
        totals.process_ended(7, 0);
        assert_balanced(&totals, 7, 0, 0);
    }

    /// The time of the connections of a process that stands still came in one step with its next report, and
    /// was missing when it ended without one.
    #[test]
    fn connections_wait_between_two_reports_and_until_their_process_ends() {
        const IDLE: usize = State::Idle as usize;
        let mut totals = WorkerTotals::default();
        let mut last = report(2, 0, 2);
        (last.taken_nanos, last.counted.state_nanos[IDLE]) = (1_000, 50);
        totals.record(last);
        for (now, idle) in [(1_000, 50), (1_100, 250), (900, 50)] {
            let total = totals.total(2, now);
            assert_eq!(
                (total.taken_nanos, total.counted.state_nanos[IDLE]),
                (now.max(1_000), idle)
            );
        }
        totals.process_ended(2, 1_500);
        assert_eq!(totals.total(2, 2_000).counted.state_nanos[IDLE], 1_050);
    }

    #[test]
    fn a_process_without_a_report_loses_every_connection_sent_to_it() {
        let mut totals = WorkerTotals::default();
        totals.process_ended(4, 0);
        totals.count_restart();
        assert_balanced(&totals, 4, 4, 0);
        let shards = totals.total(2, 0).shards;
        assert_eq!((shards.len(), shards[0].restarts), (2, 1));
    }
}
