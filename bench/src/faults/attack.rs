//! The attacks as data: who attacks, how many, against which settings, and what is looked at.

use std::time::Duration;

/// One attack on a server that serves polite peers meanwhile.
#[derive(Debug)]
pub(crate) struct Attack {
    /// The name it is chosen by.
    pub(crate) name: &'static str,
    /// What the attackers do, and how many they are.
    pub(crate) what: &'static str,
    /// Flags of the server besides the common ones: deadlines short enough to be seen at work.
    pub(crate) serve: &'static [&'static str],
    pub(crate) by: By,
    /// How long it has lasted when the polite peers' latency is measured.
    pub(crate) settles: Duration,
    pub(crate) looks: &'static [Look],
    /// A p99 that is good enough whatever it was in calm.
    pub(crate) p99_ms: Option<f64>,
}

/// What carries an attack out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// `towline load` with these arguments.
    Load(&'static [&'static str]),
    /// So many connections that send without ever ending a line, and come back when closed.
    EndlessLines(usize),
    /// So many connections with the smallest segments and windows there are, which take long replies.
    SillyWindows(usize),
    /// So many clients that ask for `/metrics` again and again, and as many that never finish asking.
    Scrapes(usize),
}

/// A figure besides the polite peers'.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// Connections closed for this reason during the attack: at least so many.
    ClosedAtLeast(&'static str, u64),
    /// Connections refused for this reason during the attack: at least so many.
    RefusedAtLeast(&'static str, u64),
    /// Growth of the server's resident memory, in KiB: at most.
    ResidentKib(u64),
    /// The same for each attacker, in bytes.
    ResidentBytesEach(u64, u64),
    /// Kernel memory of the server's sockets, for each attacker, in KiB: at most.
    KernelKibEach(u64, u64),
    /// A polite connection's share of the polite lines, as Jain's index: at least.
    Jain(f64),
}

const SECOND: Duration = Duration::from_secs(1);

pub(crate) static ATTACKS: [Attack; 13] = [
    Attack {
        name: "1-slowloris",
        what: "5,000 connections, a byte a second and never a newline (line deadline 5 s)",
        serve: &["--line-deadline", "5s"],
        by: By::Load(&["-c", "5000", "--persona", "slowloris", "--mode", "idle"]),
        settles: Duration::from_secs(3),
        looks: &[Look::ClosedAtLeast("read_timeout", 5000), Look::ResidentBytesEach(5000, 2048)],
        p99_ms: None,
    },
    Attack {
        name: "3-endless-line",
        what: "8 connections that send at full speed without a newline (limit 64 KiB)",
        serve: &[],
        by: By::EndlessLines(8),
        settles: SECOND,
        looks: &[Look::ClosedAtLeast("line_too_long", 8), Look::ResidentKib(8 * 128 + 4096)],
        p99_ms: None,
    },
    Attack {
        name: "6-never-read",
        what: "1,000 connections that flood and never read (write timeout 5 s)",
        serve: &["--write-timeout", "5s"],
        by: By::Load(&["-c", "1000", "--persona", "never-read", "--mode", "flood"]),
        settles: Duration::from_secs(3),
        looks: &[Look::ClosedAtLeast("write_timeout", 1000), Look::KernelKibEach(1000, 200)],
        p99_ms: None,
    },
    Attack {
        name: "2-trickle",
        what: "1,000 connections that send whole lines, a byte every 100 ms",
        serve: &[],
        by: By::Load(&[
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
        looks: &[],
        p99_ms: None,
    },
    Attack {
        name: "8-silly-windows",
        what: "20 connections with segments of 88 bytes and the smallest window, fed 100 KB at a time",
        serve: &[],
        by: By::SillyWindows(20),
        settles: SECOND,
        looks: &[Look::ResidentKib(20 * 512 + 4096)],
        p99_ms: None,
    },
    Attack {
        name: "11-reset-storm",
        what: "500 connections that send a line, reset and come back, ten times a second",
        serve: &[],
        by: By::Load(&[
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
        looks: &[Look::ClosedAtLeast("peer_reset", 1000), Look::ResidentKib(4096)],
        p99_ms: None,
    },
    Attack {
        name: "12-churn",
        what: "20 connections that connect, exchange a line, close and come back at once",
        serve: &[],
        by: By::Load(&["-c", "20", "--persona", "churn", "--mode", "idle"]),
        settles: SECOND,
        looks: &[Look::ClosedAtLeast("peer_eof", 10_000), Look::ResidentKib(4096)],
        p99_ms: None,
    },
    Attack {
        name: "14-connection-flood",
        what: "10,000 connections opened at once, which then say nothing",
        serve: &[],
        by: By::Load(&["-c", "10000", "--mode", "idle", "--sources", "127.0.0.0/28"]),
        settles: Duration::from_secs(3),
        looks: &[Look::ResidentBytesEach(10_000, 1024), Look::KernelKibEach(10_000, 8)],
        p99_ms: None,
    },
    Attack {
        name: "18-one-address",
        what: "15,000 connections from one address (limit 1,200 from each)",
        serve: &["--max-connections-per-ip", "1200"],
        by: By::Load(&["-c", "15000", "--mode", "idle", "--sources", "127.0.0.99"]),
        settles: Duration::from_secs(3),
        looks: &[Look::RefusedAtLeast("per_ip", 13_000), Look::ResidentKib(1200 + 4096)],
        p99_ms: None,
    },
    Attack {
        name: "21-pipelined-flood",
        what: "1 connection that floods lines of two bytes",
        serve: &[],
        by: By::Load(&["-c", "1", "--mode", "flood", "--message", "x\\n", "--threads", "1"]),
        settles: SECOND,
        looks: &[Look::ResidentKib(4096)],
        p99_ms: None,
    },
    Attack {
        name: "22-flooders",
        what: "1,000 connections that flood",
        serve: &[],
        by: By::Load(&["-c", "1000", "--mode", "flood", "--threads", "1"]),
        settles: SECOND,
        looks: &[Look::Jain(0.95)],
        p99_ms: Some(5.0),
    },
    Attack {
        name: "23-hash-bombs",
        what: "16 connections that flood lines of 60 KiB to be hashed",
        serve: &["--workload", "sha256", "--digest", "discard"],
        by: By::Load(&["-c", "16", "--message", "{rand:61440}\\n", "--threads", "1"]),
        settles: SECOND,
        looks: &[Look::ResidentKib(32 * 1024)],
        p99_ms: None,
    },
    Attack {
        name: "33-scrapes",
        what: "50 clients that ask for /metrics without a pause, 50 that never finish asking",
        serve: &[],
        by: By::Scrapes(50),
        settles: SECOND,
        looks: &[Look::ResidentKib(8 * 1024)],
        p99_ms: None,
    },
];
