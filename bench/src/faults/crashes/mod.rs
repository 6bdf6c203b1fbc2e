//! Workers that are killed, one a second, while clients that compare every answer come, stay and go:
//! who is hurt, and what the books say of it.
//!
//! A worker is stopped before it is killed, so that its connections can be listed: exactly those may
//! drop, and those that were on their way to it.

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
    audit::{Audit, Books},
    clients::{Crowd, Dropped, is_steady},
    workers::{connections, orphans, signal, wait_for_workers},
};
use super::{Verdict, findings::Finding};
use crate::{
    Error, clock,
    observed_server::{Sight, Victim},
};

/// A worker dies so often.
const EVERY: Duration = Duration::from_secs(1);

/// Clients at work, and after them workers at rest, before anybody is killed, and at the end.
const CALM: Duration = Duration::from_secs(2);

/// How long the last worker may take to be followed, and the server to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of all the killing.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// Connections dropped that the dead worker had, or that were on their way to it.
    of_worker: u64,
    on_the_way: u64,
    /// Connections dropped that some other worker had.
    disturbed: u64,
    /// Connections of dead workers that go on regardless.
    undead: u64,
    /// Kills without churn, and those of them after which the books told of more or fewer connections
    /// lost than clients saw dropped.
    in_calm: u64,
    told_otherwise: u64,
    /// The same for those with churn: the books may also tell of connections that ended by themselves
    /// after the worker was asked last.
    beyond: u64,
    lost: u64,
    /// All workers there ever were, by number and birth.
    processes: BTreeSet<(u32, u64)>,
}

pub(crate) fn report(towline: &Path, time: Duration, workers: u32) -> Result<Verdict, Error> {
    let processes = workers.to_string();
    let flags = ["--processes", &processes, "--threads", "1", "--log-level", "error"];
    let victim = Victim::start(towline, &flags)?;
    let audit = Audit::start(victim.admin);
    let crowd = Crowd::start(victim.addr);
    thread::sleep(CALM);
    let tally = kill_again_and_again(&victim, &crowd, time, workers as usize)?;
    let lines = crowd.told.lines.load(std::sync::atomic::Ordering::SeqCst);
    let unharmed = crowd.end();
    let left = victim.look_at_rest(PATIENCE)?;
    let books = audit.finish()?;
    let orphans = orphans(victim, &tally.processes)?;

    let findings = findings(&tally, &books, &left, orphans, lines, &unharmed);
    let what = format!(
        "kill -9 of one of {workers} workers a second for {} s, {} connections that stay, others that \
         come and go",
        time.as_secs(),
        Crowd::steady()
    );
    Ok(Verdict::of("31-crashes", &what, &findings))
}

fn kill_again_and_again(
    victim: &Victim,
    crowd: &Crowd,
    time: Duration,
    workers: usize,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut draw = Draw(1);
    let began = clock::now();
    let mut next = began;
    while clock::now().saturating_sub(began) < time && !crowd.is_over() {
        // Every other time without churn, so that nothing is under way and all has to agree.
        let in_calm = tally.kills % 2 == 1;
        if in_calm {
            crowd.calm(true);
        }
        let alive = wait_for_workers(victim, workers)?;
        tally.processes.extend(&alive);
        crowd.told.dropped();
        let ended = crowd.told.ended.load(std::sync::atomic::Ordering::SeqCst);
        let before = lost(&victim.look()?);

        let (dies, _) = alive[draw.below(alive.len())];
        signal(dies, Signal::STOP)?;
        let had = connections(dies, victim.addr);
        signal(dies, Signal::KILL)?;
        tally.kills += 1;
        let had = had?;

        next += EVERY;
        thread::sleep(next.saturating_sub(clock::now()));
        let dropped = crowd.told.dropped();
        let told = lost(&victim.look()?) - before;
        let ended = crowd.told.ended.load(std::sync::atomic::Ordering::SeqCst) - ended;
        tally.judge(&had, &dropped, told, if in_calm { 0 } else { ended }, in_calm);
        crowd.calm(false);
    }
    tally.processes.extend(wait_for_workers(victim, workers)?);
    Ok(tally)
}

impl Tally {
    /// Books one kill: what the worker `had`, who was dropped, how many the server told of as lost,
    /// and how many ended by themselves meanwhile.
    fn judge(
        &mut self,
        had: &HashSet<SocketAddr>,
        dropped: &[Dropped],
        told: u64,
        ended: u64,
        in_calm: bool,
    ) {
        let is_of_worker = |one: &&Dropped| had.contains(&one.client);
        let of_worker = dropped.iter().filter(is_of_worker).count() as u64;
        let answered = |one: &&Dropped| !had.contains(&one.client) && one.answered;
        let disturbed = dropped.iter().filter(answered).count() as u64;
        self.of_worker += of_worker;
        self.disturbed += disturbed;
        self.on_the_way += dropped.len() as u64 - of_worker - disturbed;
        // Those of the churn may have ended in order a moment before.
        let stayed = had.iter().filter(|client| is_steady(**client)).count() as u64;
        let gone = dropped.iter().filter(|one| one.is_steady()).filter(is_of_worker).count() as u64;
        self.undead += stayed - gone;
        self.lost += told;
        let seen = dropped.len() as u64;
        self.in_calm += u64::from(in_calm);
        self.told_otherwise += u64::from(in_calm && told != seen);
        self.beyond += u64::from(told < seen || told > seen + ended);
    }
}

fn findings(
    tally: &Tally,
    books: &Books,
    left: &Sight,
    orphans: usize,
    lines: u64,
    unharmed: &Result<(), Error>,
) -> Vec<Finding> {
    let finding = |demanded: &str, measured: String, met: bool| Finding {
        demanded: demanded.to_owned(),
        measured,
        met,
    };
    vec![
        finding(
            "every answer right",
            match unharmed {
                Ok(()) => format!("{lines} lines compared"),
                Err(why) => why.to_string(),
            },
            unharmed.is_ok(),
        ),
        finding(
            "only the dead worker's connections drop",
            format!(
                "{} of its own, {} on their way to it, {} of others; {} go on",
                tally.of_worker, tally.on_the_way, tally.disturbed, tally.undead
            ),
            tally.disturbed == 0 && tally.undead == 0 && tally.of_worker > 0,
        ),
        finding(
            "told of as `worker_lost`: as many as clients saw dropped",
            format!("otherwise after {} of {} kills in calm", tally.told_otherwise, tally.in_calm),
            tally.told_otherwise == 0,
        ),
        finding(
            "with churn: and no more than ended meanwhile besides",
            format!("otherwise after {} of {}; {} in all", tally.beyond, tally.kills, tally.lost),
            tally.beyond == 0,
        ),
        finding(
            "accepted − closed = open at each scrape",
            format!(
                "{} of {} otherwise, {} unanswered",
                books.unbalanced, books.scrapes, books.failed
            ),
            books.unbalanced == 0 && books.failed == 0 && books.scrapes > tally.kills,
        ),
        finding(
            "no counter goes back",
            match &*books.went_back {
                [] => "none".to_owned(),
                went => went.join(", "),
            },
            books.went_back.is_empty(),
        ),
        finding(
            "no series more or less",
            format!("{} of {}", books.changed, books.series()),
            books.changed == 0 && books.series() > 0,
        ),
        finding(
            "every restart is counted",
            format!("{} after {} kills", left.restarts, tally.kills),
            left.restarts == tally.kills,
        ),
        finding(
            "nothing left behind",
            format!("{} connections, {orphans} of {} processes", left.open, tally.processes.len()),
            left.open == 0 && orphans == 0,
        ),
    ]
}

fn lost(sight: &Sight) -> u64 {
    sight.closed.get("worker_lost").copied().unwrap_or(0)
}

/// Numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's constants; the high bits are the good ones.
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
    fn a_kill_is_judged_by_who_was_dropped_and_what_the_books_say() {
        let steady = addr("127.0.90.1:1");
        let had = HashSet::from([steady, addr("127.0.100.1:1")]);
        let dropped = |client, answered| Dropped { client, answered };
        let own = [dropped(steady, true), dropped(addr("127.0.100.1:9"), false)];
        let mut tally = Tally::default();
        tally.judge(&had, &own, 3, 1, false);
        assert_eq!((tally.of_worker, tally.on_the_way, tally.disturbed), (1, 1, 0));
        assert_eq!((tally.undead, tally.beyond), (0, 0));
        tally.judge(&had, &own, 4, 1, false);
        assert_eq!(tally.beyond, 1, "more were told of than ended");

        let other = [dropped(addr("127.0.90.1:2"), true)];
        tally.judge(&had, &other, 1, 0, true);
        assert_eq!((tally.disturbed, tally.undead), (1, 1));
        assert_eq!((tally.in_calm, tally.told_otherwise), (1, 0));
    }
}
