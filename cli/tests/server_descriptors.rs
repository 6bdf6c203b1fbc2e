//! A server without free descriptors: it goes on serving, logs it, does not spin, and recovers.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use towline_test_support::{Run, ServerProcess, wait_until};

const TOO_MANY: &str = "ERR too many connections\n";

fn limit_descriptors(server: &ServerProcess, descriptors: u64) {
    let limit = Rlimit { current: Some(descriptors), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(Some(Pid::from_child(server.process())), Resource::Nofile, limit).unwrap();
}

fn open_descriptors(server: &ServerProcess) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", server.process().id())).unwrap().count() as u64
}

const REJECTED: &str = "towline_connections_rejected_total{reason=\"fd_exhausted\"}";
const EMFILE: &str = "towline_accept_errors_total{errno=\"EMFILE\"}";

#[test]
fn fault_15_without_descriptors_new_clients_are_rejected_open_ones_served_and_scrapes_answered() {
    let server = ServerProcess::start(&[], &["--threads", "1", "--log-level", "warn"]);
    let mut early = server.connect();
    early.ask("early\n", "early\n");
    assert_eq!(server.metric(REJECTED), 0.0);

    let start = SystemTime::now();
    limit_descriptors(&server, open_descriptors(&server) + 5);
    let (mut served, mut rejected) = (Vec::new(), 0);
    for sent in [0, 5, 50_000].repeat(20) {
        let mut stream = server.connect();
        // The rejection must arrive whatever was sent before. The server may close during the writes.
        let _ = stream.try_send("x".repeat(sent));
        let _ = stream.try_send("\n");
        match stream.read_line() {
            line if line == TOO_MANY => rejected += 1,
            line if line.len() == sent + 1 => served.push(stream),
            other => panic!("{other:?}"),
        }
    }
    assert!(rejected >= 50, "{rejected} rejected");
    assert_eq!(server.metric(REJECTED), f64::from(rejected));
    for _ in 0..20 {
        early.ask("still\n", "still\n");
        assert!(server.metric("process_resident_memory_bytes") > 0.0);
    }
    // Without a waiting connection nothing is tried again.
    let attempts = server.metric(EMFILE);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.metric(EMFILE), attempts);

    // A freed slot is used.
    drop(served.pop().unwrap());
    server.metric_when("towline_connections_active", |open| open <= served.len() as f64 + 1.0);
    // The last scrape may still hold the freed descriptor: its client sees the end before the close.
    wait_until("a slot", || {
        let mut client = server.connect();
        let _ = client.try_send("a slot\n");
        client.read_line() == "a slot\n"
    });

    limit_descriptors(&server, 1000);
    for _ in 0..20 {
        let mut late = server.connect();
        late.ask("late\n", "late\n");
        served.push(late);
    }
    drop((early, served));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    // Logged once an episode, not for each rejected connection; as "cannot accept" if a scrape took the
    // reserve descriptor at that moment.
    let texts = ["no descriptor left", "cannot accept"];
    let logged = texts.map(|text| run.stderr.matches(text).count() as u64).iter().sum::<u64>();
    assert!((1..=1 + start.elapsed().unwrap().as_secs() / 5).contains(&logged), "{run:?}");
}

/// The limit is below the number of the reserve descriptor, so that cannot be used either.
#[test]
fn fault_15_without_a_usable_reserve_descriptor_clients_wait_and_the_server_does_not_spin() {
    let server = ServerProcess::start(&[], &["--threads", "1", "--log-level", "warn"]);
    server.connect().ask("early\n", "early\n");
    let start = SystemTime::now();
    limit_descriptors(&server, 3);
    let mut late: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut late {
        stream.send("late\n");
    }
    thread::sleep(Duration::from_millis(500));
    limit_descriptors(&server, 1000);
    let short = start.elapsed().unwrap().as_secs_f64();
    for stream in &mut late {
        stream.expect("late\n");
    }
    // The pause doubles from 5 ms to a second: 9 attempts in the first two seconds, each with and
    // without the reserve descriptor. A server that spins makes 100,000.
    let attempts = server.metric(EMFILE);
    assert!((1.0..=2.0 * (10.0 + short)).contains(&attempts), "{attempts} in {short} s");
    drop(late);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.matches("cannot accept").count()), (0, 1), "{run:?}");
}

/// Runs the server to its end with this descriptor limit.
fn run_limited_to(descriptors: u32, arguments: &[&str]) -> Run {
    let shell = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let flags = ["--admin", "off", "--threads", "1", "--log-level", "error"];
    let mut command = Command::new("sh");
    Run::of(
        command
            .args(["-c", &shell, env!("CARGO_BIN_EXE_towline"), "serve"])
            .args(flags)
            .args(arguments),
    )
}

#[test]
fn fault_15_a_refusal_for_the_descriptor_limit_names_one_that_suffices() {
    let run = run_limited_to(60, &[]);
    let sentence = "towline: the descriptor limit of 60 leaves none for connections with 1 threads: \
                    raise it (ulimit -n), expected at least ";
    let enough = run.stderr.trim_end().strip_prefix(sentence).map(str::parse::<u32>);
    let enough = enough.unwrap_or_else(|| panic!("{run:?}")).unwrap();
    assert_eq!(run.code, 2, "{run:?}");

    let below = run_limited_to(enough - 1, &[]);
    assert!(below.stderr.contains("leaves none for connections"), "{below:?}");
    let more = run_limited_to(enough, &["--max-connections", "2"]);
    let sentence = "towline: limits.connections = 2 is more than this host allows: the descriptor \
                    limit is ";
    assert!(more.stderr.starts_with(sentence), "{more:?}");
    assert!(more.stderr.contains("raise it (ulimit -n) or ask for at most 1\n"), "{more:?}");
    assert_eq!(more.code, 2, "{more:?}");
}

#[test]
fn fault_15_the_limit_is_derived_from_descriptors_so_that_they_do_not_run_out() {
    let shell = "ulimit -n 100 && exec \"$0\" \"$@\"";
    let server =
        ServerProcess::start_by(Command::new("sh").args(["-c", shell]), &["--threads", "1"]);
    assert_eq!(server.metric("towline_connections_limit"), 31.0);
    let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for stream in &mut streams[..31] {
        stream.ask("in\n", "in\n");
    }
    assert_eq!(server.metric("towline_accept_queue_length"), 9.0);
    assert_eq!(server.metric(EMFILE), 0.0);
}
