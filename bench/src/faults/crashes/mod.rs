//! Workers killed, one per second, under clients that compare every reply: shows which connections are
//! lost, and whether the metrics agree.
//!
//! A worker is stopped before it is killed, so that its connections can be listed: only those may drop,
//! and those that were being handed over to it.

mod audit;
mod clients;
mod workers;

use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
    path::Path,
    thread,
    time::Duration,
};

use rustix::process::Signal;

use self::{
    audit::AuditReport,
    clients::{CheckingClients, Dropped, is_steady},
    workers::{connections, orphans, signal, wait_for_workers},
};
use super::{FindingsTable, findings::Finding};
use crate::{
    Error, clock,
    observed_server::{ObservedServer, Snapshot},
};

/// Interval between two kills.
const KILL_INTERVAL: Duration = Duration::from_secs(1);

/// Time for the clients to connect before the first kill.
const WARM_UP: Duration = Duration::from_secs(2);

/// Longest wait for a restarted worker, for the last connection, and for the server's end.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sums over all kills.
#[derive(Debug, Default)]
struct CrashTotals {
    kills: u64,
    /// Dropped connections that the killed worker had, or that were being handed over to it.
    of_worker: u64,
    in_transit: u64,
    /// Dropped connections that another worker had.
    disturbed: u64,
    /// Connections of killed workers that went on regardless.
    undead: u64,
    /// Kills while the churn paused, and those of them after which the metrics counted more or fewer
    /// lost connections than the clients.
    paused: u64,
    paused_wrong: u64,
    /// Kills after which the metrics did not agree with the clients. With churn, they may also count
    /// connections that ended by themselves after the worker's last report.
    wrong: u64,
    /// Connections that the metrics counted as lost.
    lost: u64,
    /// All workers that ever were, by process id and start time.
    processes: BTreeSet<(u32, u64)>,
}

/// Kills workers for `time` and returns the findings.
pub(crate) fn report(towline: &Path, time: Duration, workers: u32) -> Result<FindingsTable, Error> {
    let processes = workers.to_string();
    let flags = ["--processes", &processes, "--threads", "1", "--log-level", "error"];
    let server = ObservedServer::start(towline, &flags)?;
    let audit = audit::start(server.admin);
    let clients = CheckingClients::start(server.addr);
    thread::sleep(WARM_UP);
    let totals = kill_repeatedly(&server, &clients, time, workers as usize)?;
    let lines = clients.records.lines();
    let replies = clients.stop();
    let left = server.snapshot_at_rest(TIMEOUT)?;
    let audit = audit.finish()?;
    let orphans = orphans(server, &totals.processes)?;

    let findings = findings(&totals, &audit, &left, orphans, lines, &replies);
    let what = format!(
        "kill -9 of one of {workers} workers per second for {} s, {} steady connections, others that \
         exchange a line and close",
        time.as_secs(),
        CheckingClients::steady()
    );
    Ok(FindingsTable::of("31-crashes", &what, &findings))
}

fn kill_repeatedly(
    server: &ObservedServer,
    clients: &CheckingClients,
    time: Duration,
    workers: usize,
) -> Result<CrashTotals, Error> {
    let mut totals = CrashTotals::default();
    let mut random = Random(1);
    let began = clock::now();
    let mut next = began;
    while clock::now().saturating_sub(began) < time && !clients.has_failed() {
        // Every other kill without churn: then no connection is in transit, and all counts must agree.
        let is_paused = totals.kills % 2 == 1;
        if is_paused {
            clients.pause_churn(true);
        }
        let alive = wait_for_workers(server, workers)?;
        totals.processes.extend(&alive);
        clients.records.take_dropped();
        let ended = clients.records.ended();
        let before = lost(&server.snapshot()?);

        let (pid, _) = alive[random.below(alive.len())];
        signal(pid, Signal::STOP)?;
        let of_worker = connections(pid, server.addr);
        signal(pid, Signal::KILL)?;
        totals.kills += 1;
        let of_worker = of_worker?;

        next += KILL_INTERVAL;
        thread::sleep(next.saturating_sub(clock::now()));
        let dropped = clients.records.take_dropped();
        let counted = lost(&server.snapshot()?) - before;
        let ended = if is_paused { 0 } else { clients.records.ended() - ended };
        totals.add_kill(&of_worker, &dropped, counted, ended, is_paused);
        clients.pause_churn(false);
    }
    totals.processes.extend(wait_for_workers(server, workers)?);
    Ok(totals)
}

impl CrashTotals {
    /// Adds one kill: the connections of the worker, those that clients saw `dropped`, the number that
    /// the metrics `counted` as lost, and the number that `ended` by themselves meanwhile.
    fn add_kill(
        &mut self,
        of_worker: &HashSet<SocketAddr>,
        dropped: &[Dropped],
        counted: u64,
        ended: u64,
        is_paused: bool,
    ) {
        let is_of_worker = |one: &&Dropped| of_worker.contains(&one.client);
        let dropped_of_worker = dropped.iter().filter(is_of_worker).count() as u64;
        let of_another = |one: &&Dropped| !of_worker.contains(&one.client) && one.answered;
        let disturbed = dropped.iter().filter(of_another).count() as u64;
        self.of_worker += dropped_of_worker;
        self.disturbed += disturbed;
        self.in_transit += dropped.len() as u64 - dropped_of_worker - disturbed;
        // Connections of the churn may have ended in order a moment before.
        let steady = of_worker.iter().filter(|client| is_steady(**client)).count() as u64;
        let gone = dropped.iter().filter(|one| one.is_steady()).filter(is_of_worker).count() as u64;
        self.undead += steady - gone;
        self.lost += counted;
        let seen = dropped.len() as u64;
        self.paused += u64::from(is_paused);
        self.paused_wrong += u64::from(is_paused && counted != seen);
        self.wrong += u64::from(counted < seen || counted > seen + ended);
    }
}

fn findings(
    totals: &CrashTotals,
    audit: &AuditReport,
    left: &Snapshot,
    orphans: usize,
    lines: u64,
    replies: &Result<(), Error>,
) -> Vec<Finding> {
    let finding = |demanded: &str, measured: String, met: bool| Finding {
        demanded: demanded.to_owned(),
        measured,
        met,
    };
    vec![
        finding(
            "every reply right",
            match replies {
                Ok(()) => format!("{lines} lines compared"),
                Err(why) => why.to_string(),
            },
            replies.is_ok(),
        ),
        finding(
            "only the killed worker's connections drop",
            format!(
                "{} of its own, {} in transit to it, {} of others; {} go on",
                totals.of_worker, totals.in_transit, totals.disturbed, totals.undead
            ),
            totals.disturbed == 0 && totals.undead == 0 && totals.of_worker > 0,
        ),
        finding(
            "counted as `worker_lost`: as many as clients saw dropped",
            format!("wrong after {} of {} kills without churn", totals.paused_wrong, totals.paused),
            totals.paused_wrong == 0,
        ),
        finding(
            "with churn: at most those that ended meanwhile besides",
            format!("wrong after {} of {}; {} in all", totals.wrong, totals.kills, totals.lost),
            totals.wrong == 0,
        ),
        finding(
            "accepted − closed = open at each scrape",
            format!(
                "wrong at {} of {}, {} unanswered",
                audit.unbalanced, audit.scrapes, audit.failed
            ),
            audit.unbalanced == 0 && audit.failed == 0 && audit.scrapes > totals.kills,
        ),
        finding(
            "no counter decreases",
            match &*audit.decreased {
                [] => "none".to_owned(),
                decreased => decreased.join(", "),
            },
            audit.decreased.is_empty(),
        ),
        finding(
            "no series appears or disappears",
            format!("{} of {}", audit.changed, audit.series()),
            audit.changed == 0 && audit.series() > 0,
        ),
        finding(
            "every restart is counted",
            format!("{} after {} kills", left.restarts, totals.kills),
            left.restarts == totals.kills,
        ),
        finding(
            "nothing left behind",
            format!("{} connections, {orphans} of {} processes", left.open, totals.processes.len()),
            left.open == 0 && orphans == 0,
        ),
    ]
}

fn lost(snapshot: &Snapshot) -> u64 {
    snapshot.closed.get("worker_lost").copied().unwrap_or(0)
}

/// Pseudo-random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's linear congruential generator, whose high bits are the random ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_kill_is_compared_with_the_dropped_connections_and_the_metrics() {
        let steady = addr("127.0.90.1:1");
        let of_worker = HashSet::from([steady, addr("127.0.100.1:1")]);
        let dropped = |client, answered| Dropped { client, answered };
        let own = [dropped(steady, true), dropped(addr("127.0.100.1:9"), false)];
        let mut totals = CrashTotals::default();
        totals.add_kill(&of_worker, &own, 3, 1, false);
        assert_eq!((totals.of_worker, totals.in_transit, totals.disturbed), (1, 1, 0));
        assert_eq!((totals.undead, totals.wrong), (0, 0));
        totals.add_kill(&of_worker, &own, 4, 1, false);
        assert_eq!(totals.wrong, 1, "more were counted than ended");

        let other = [dropped(addr("127.0.90.1:2"), true)];
        totals.add_kill(&of_worker, &other, 1, 0, true);
        assert_eq!((totals.disturbed, totals.undead), (1, 1));
        assert_eq!((totals.paused, totals.paused_wrong), (1, 0));
    }
}
