//! The attacks as data: the attackers and their number, the server's settings, and what is checked.

use std::time::Duration;

/// One attack on a server that serves well-behaved clients meanwhile.
#[derive(Debug)]
pub(crate) struct Attack {
    /// The row of the fault table, and a name; `--only` chooses by it.
    pub(crate) name: &'static str,
    /// What the attackers do, and their number.
    pub(crate) what: &'static str,
    /// Flags of the server beside the common ones: deadlines short enough to expire during the attack.
    pub(crate) serve: &'static [&'static str],
    pub(crate) kind: AttackKind,
    /// Time from the start of the attack to the measurement of the well-behaved clients.
    pub(crate) settles: Duration,
    pub(crate) checks: &'static [Check],
    /// A p99 of the well-behaved clients that passes, whatever it was before the attack.
    pub(crate) p99_ms: Option<f64>,
}

/// The program or the threads that carry an attack out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttackKind {
    /// `towline load` with these arguments.
    Load(&'static [&'static str]),
    /// This many connections that send without ending a line, and reconnect when closed.
    EndlessLines(usize),
    /// This many connections with the smallest possible segments and windows, which read long replies.
    SillyWindows(usize),
    /// This many connections that flood and take their replies, until they stop reading and flood on.
    /// They reconnect when closed.
    StopReading(usize),
    /// This many clients that scrape `/metrics` without a pause, and as many that never finish a request.
    Scrapes(usize),
}

/// A bound on a figure beside those of the well-behaved clients.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Check {
    /// Fewest connections closed for a reason during the attack.
    ClosedAtLeast(&'static str, u64),
    /// Fewest connections refused for a reason during the attack.
    RefusedAtLeast(&'static str, u64),
    /// Largest growth of the server's resident memory, in KiB.
    ResidentKib(u64),
    /// A number of attackers, and the largest growth of resident memory for each, in bytes.
    ResidentBytesEach(u64, u64),
    /// A number of attackers, and the most kernel memory of the server's sockets for each, in KiB.
    KernelKibEach(u64, u64),
    /// Least fairness among the well-behaved connections, as Jain's index of their lines.
    Jain(f64),
}

const SECOND: Duration = Duration::from_secs(1);

/// A hundred connections that flood empty lines.
const EMPTY_LINES: AttackKind =
    AttackKind::Load(&["-c", "100", "--mode", "flood", "--message", "\\n", "--threads", "1"]);

pub(crate) static ATTACKS: [Attack; 17] = [
    Attack {
        name: "1-slowloris",
        what: "5,000 connections that send a byte per second and no newline (line deadline 5 s)",
        serve: &["--line-deadline", "5s"],
        kind: AttackKind::Load(&["-c", "5000", "--persona", "slowloris", "--mode", "idle"]),
        settles: Duration::from_secs(3),
        checks: &[Check::ClosedAtLeast("read_timeout", 5000), Check::ResidentBytesEach(5000, 2048)],
        p99_ms: None,
    },
    Attack {
        name: "3-endless-line",
        what: "8 connections that send at full speed without a newline (limit 64 KiB)",
        serve: &[],
        kind: AttackKind::EndlessLines(8),
        settles: SECOND,
        checks: &[Check::ClosedAtLeast("line_too_long", 8), Check::ResidentKib(8 * 128 + 4096)],
        p99_ms: None,
    },
    Attack {
        name: "6-never-read",
        what: "1,000 connections that flood and never read (write timeout 5 s)",
        serve: &["--write-timeout", "5s"],
        kind: AttackKind::Load(&["-c", "1000", "--persona", "never-read", "--mode", "flood"]),
        settles: Duration::from_secs(3),
        checks: &[Check::ClosedAtLeast("write_timeout", 1000), Check::KernelKibEach(1000, 200)],
        p99_ms: None,
    },
    Attack {
        name: "6-stop-reading",
        what: "200 connections that flood, read 4 MiB of replies and then no more (write timeout 5 s)",
        serve: &["--write-timeout", "5s"],
        kind: AttackKind::StopReading(200),
        settles: Duration::from_secs(3),
        // A large receive buffer, and 200 KiB as without one.
        checks: &[
            Check::ClosedAtLeast("write_timeout", 200),
            Check::KernelKibEach(200, 1024 + 200),
        ],
        p99_ms: None,
    },
    Attack {
        name: "2-trickle",
        what: "1,000 connections that send whole lines, a byte every 100 ms",
        serve: &[],
        kind: AttackKind::Load(&[
            "-c",
            "1000",
            "--persona",
            "trickle",
            "--persona-interval",
            "100ms",
            "--mode",
            "idle",
        ]),
        settles: SECOND,
        checks: &[],
        p99_ms: None,
    },
    Attack {
        name: "8-silly-windows",
        what: "20 connections with segments of 88 bytes and the smallest window, fed 100 KB at a time",
        serve: &[],
        kind: AttackKind::SillyWindows(20),
        settles: SECOND,
        checks: &[Check::ResidentKib(20 * 512 + 4096)],
        p99_ms: None,
    },
    Attack {
        name: "11-reset-storm",
        what: "500 connections that send a line, reset and reconnect, ten times per second",
        serve: &[],
        kind: AttackKind::Load(&[
            "-c",
            "500",
            "--persona",
            "reset",
            "--persona-interval",
            "100ms",
            "--mode",
            "idle",
        ]),
        settles: SECOND,
        checks: &[Check::ClosedAtLeast("peer_reset", 1000), Check::ResidentKib(4096)],
        p99_ms: None,
    },
    Attack {
        name: "12-churn",
        what: "20 connections that connect, exchange a line, close and reconnect at once",
        serve: &[],
        kind: AttackKind::Load(&["-c", "20", "--persona", "churn", "--mode", "idle"]),
        settles: SECOND,
        checks: &[Check::ClosedAtLeast("peer_eof", 10_000), Check::ResidentKib(4096)],
        p99_ms: None,
    },
    Attack {
        name: "14-connection-flood",
        what: "10,000 connections opened at once, which then send nothing",
        serve: &[],
        kind: AttackKind::Load(&["-c", "10000", "--mode", "idle", "--sources", "127.0.0.0/28"]),
        settles: Duration::from_secs(3),
        checks: &[Check::ResidentBytesEach(10_000, 1024), Check::KernelKibEach(10_000, 8)],
        p99_ms: None,
    },
    Attack {
        name: "18-one-address",
        what: "15,000 connections from one address (limit 1,200 from each)",
        serve: &["--max-connections-per-ip", "1200"],
        kind: AttackKind::Load(&["-c", "15000", "--mode", "idle", "--sources", "127.0.0.99"]),
        settles: Duration::from_secs(3),
        checks: &[Check::RefusedAtLeast("per_ip", 13_000), Check::ResidentKib(1200 + 4096)],
        p99_ms: None,
    },
    Attack {
        name: "21-pipelined-flood",
        what: "1 connection that floods lines of two bytes",
        serve: &[],
        kind: AttackKind::Load(&[
            "-c",
            "1",
            "--mode",
            "flood",
            "--message",
            "x\\n",
            "--threads",
            "1",
        ]),
        settles: SECOND,
        checks: &[Check::ResidentKib(4096)],
        p99_ms: None,
    },
    Attack {
        name: "22-flooders",
        what: "1,000 connections that flood",
        serve: &[],
        kind: AttackKind::Load(&["-c", "1000", "--mode", "flood", "--threads", "1"]),
        settles: SECOND,
        checks: &[Check::Jain(0.95)],
        p99_ms: Some(5.0),
    },
    Attack {
        name: "22-hash-flooders",
        what: "1,000 connections that flood empty lines to be answered with digests",
        serve: &["--workload", "sha256"],
        kind: AttackKind::Load(&[
            "-c",
            "1000",
            "--mode",
            "flood",
            "--message",
            "\\n",
            "--threads",
            "1",
        ]),
        settles: SECOND,
        checks: &[Check::Jain(0.95)],
        p99_ms: Some(5.0),
    },
    Attack {
        name: "22-hash-discarders",
        what: "100 connections that flood empty lines to be hashed and echoed",
        serve: &["--workload", "sha256", "--digest", "discard"],
        kind: EMPTY_LINES,
        settles: SECOND,
        checks: &[Check::Jain(0.95)],
        p99_ms: Some(5.0),
    },
    Attack {
        name: "22-line-writes",
        what: "100 connections that flood empty lines, each answered by a write of its own",
        serve: &["--flush", "line"],
        kind: EMPTY_LINES,
        settles: SECOND,
        checks: &[Check::Jain(0.95)],
        p99_ms: Some(5.0),
    },
    Attack {
        name: "23-hash-bombs",
        what: "16 connections that flood lines of 60 KiB to be hashed",
        serve: &["--workload", "sha256", "--digest", "discard"],
        kind: AttackKind::Load(&["-c", "16", "--message", "{rand:61440}\\n", "--threads", "1"]),
        settles: SECOND,
        checks: &[Check::ResidentKib(32 * 1024)],
        p99_ms: None,
    },
    Attack {
        name: "33-scrapes",
        what: "50 clients that scrape /metrics without a pause, 50 that never finish a request",
        serve: &[],
        kind: AttackKind::Scrapes(50),
        settles: SECOND,
        checks: &[Check::ResidentKib(8 * 1024)],
        p99_ms: None,
    },
];
