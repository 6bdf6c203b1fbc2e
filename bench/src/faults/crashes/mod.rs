//! Workers that are killed, one a second, while clients that compare every answer come, stay and go:
//! who is hurt, and what the books say of it.
//!
//! A worker is stopped before it is killed, so that its connections can be listed: exactly those may
//! drop, and those that were on their way to it.

mod audit;
mod crowd;

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use self::{
    audit::{Audit, Books},
    crowd::{Crowd, Dropped, is_steady},
};
use super::{Verdict, Victim, verdict::Finding, victim::Sight};
use crate::{Error, child::children, clock};

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

/// Waits until all workers are there, and lists them.
fn wait_for_workers(victim: &Victim, workers: usize) -> Result<Vec<(u32, u64)>, Error> {
    let began = clock::now();
    loop {
        let all = children(victim.pid()).into_iter();
        let alive: Vec<_> = all.filter_map(|pid| Some((pid, birth(pid)?))).collect();
        if alive.len() == workers {
            return Ok(alive);
        }
        if clock::now().saturating_sub(began) > PATIENCE {
            return Err(format!("{} of {workers} workers after {PATIENCE:?}", alive.len()).into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The clients of all connections that a process has.
fn connections(pid: u32, addr: SocketAddr) -> Result<HashSet<SocketAddr>, Error> {
    let mut inodes = HashSet::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(file) = fs::read_link(descriptor.path()) else { continue };
        let file = file.to_string_lossy().into_owned();
        inodes.extend(
            file.strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .map(str::to_owned),
        );
    }
    let of_ours = format!("sport = :{}", addr.port());
    let output = Command::new("ss").args(["-tneH", &of_ours]).output()?;
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(all.lines().filter_map(|row| client(row, &inodes)).collect())
}

/// The client in a row of ss(8), if the socket is one of those.
fn client(row: &str, inodes: &HashSet<String>) -> Option<SocketAddr> {
    let inode = row.split_whitespace().find_map(|field| field.strip_prefix("ino:"))?;
    inodes.contains(inode).then(|| row.split_whitespace().nth(4)?.parse().ok())?
}

fn lost(sight: &Sight) -> u64 {
    sight.closed.get("worker_lost").copied().unwrap_or(0)
}

/// Ends the server, and tells how many of the processes it ever had are still there.
fn orphans(victim: Victim, processes: &BTreeSet<(u32, u64)>) -> Result<usize, Error> {
    victim.end(PATIENCE)?;
    Ok(processes.iter().filter(|(pid, began)| birth(*pid) == Some(*began)).count())
}

/// When a process began, which tells it from another of the same number; `None` when it has ended,
/// also if nobody has waited for it yet.
fn birth(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets: the fields are counted from its end.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_over = fields.next() == Some("Z");
    fields.nth(18).filter(|_| !is_over)?.parse().ok()
}

fn signal(pid: u32, signal: Signal) -> Result<(), Error> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no process number")?;
    Ok(kill_process(pid, signal)?)
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

    const ROW: &str = "ESTAB 0 0 127.0.0.1:9000 127.0.90.1:40001 ino:77 sk:1001 cgroup:/ <->";

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_process_is_known_by_its_birth() {
        let ours = std::process::id();
        assert!(birth(ours).is_some_and(|began| birth(1).is_none_or(|first| first <= began)));
        assert_eq!(birth(u32::MAX), None);
    }

    #[test]
    fn the_clients_of_a_process_are_told_by_its_sockets() {
        let inodes = |one: &str| HashSet::from([one.to_owned()]);
        assert_eq!(client(ROW, &inodes("77")), Some(addr("127.0.90.1:40001")));
        assert_eq!(client(ROW, &inodes("78")), None);
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
