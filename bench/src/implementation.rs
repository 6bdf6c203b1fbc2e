//! The implementations that are compared, and what a measurement of one yields.

use std::time::Duration;

use serde::Serialize;

use crate::generator::WindowReport;

/// A server, or a loop in place of one, that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Implementation {
    /// The server of this workspace, with its defaults.
    Towline,
    /// Another towline binary, with the same flags (`--baseline`): shows what a change costs.
    Baseline,
    /// towline without heartbeat, deadlines and optional limits: shows the cost of supervision.
    Unsupervised,
    /// towline without the admin endpoint and its thread: shows the cost of observation.
    Unobserved,
    /// towline in one process with one thread: shows what a second thread adds.
    OneThread,
    /// towline in one process with two threads: shows the cost of several processes.
    Threads,
    /// towline in one process with four threads.
    FourThreads,
    /// The library's example `ways`, which hands each batch back.
    Batch,
    /// The same with a function for each line.
    EachLine,
    /// The same with a Tower service for each line.
    LineService,
    /// The same with a router of one command.
    Router,
    /// The same with a session.
    Session,
    /// Bare tokio that finds every line end: the reference of the demanded ratios.
    BareTokio,
    /// Bare tokio that finds only the last line end of each read.
    TailTokio,
    /// Bare tokio that searches no line ends.
    RawTokio,
    /// Bare tokio-rustls that finds every line end: the reference over TLS.
    BareTokioRustls,
    /// towline, to which every client makes a full handshake: shows what resumption saves.
    FullHandshakes,
    /// C on epoll that searches no line ends.
    CRaw,
    /// C on epoll that finds every line end.
    CLines,
    /// No server: SHA-256 of the same lines, in a loop.
    Sha2,
}

impl Implementation {
    /// The flags of a towline variant; `None` for the others.
    pub(crate) const fn flags(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Towline | Self::Baseline | Self::FullHandshakes => Some(&[]),
            Self::Unsupervised => Some(&[
                "--heartbeat=off",
                "--line-deadline=off",
                "--write-timeout=off",
                "--request-timeout=off",
            ]),
            Self::Unobserved => Some(&["--admin=off"]),
            Self::OneThread => Some(&["--threads=1"]),
            Self::Threads => Some(&["--threads=2"]),
            Self::FourThreads => Some(&["--threads=4"]),
            _ => None,
        }
    }

    /// The first argument of the example `ways`; `None` for what is not one of its ways.
    pub(crate) const fn way(self) -> Option<&'static str> {
        match self {
            Self::Batch | Self::EachLine | Self::LineService | Self::Router | Self::Session => {
                Some(self.name())
            }
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Towline => "towline",
            Self::Baseline => "baseline",
            Self::Unsupervised => "unsupervised",
            Self::Unobserved => "unobserved",
            Self::OneThread => "one-thread",
            Self::Threads => "threads",
            Self::FourThreads => "four-threads",
            Self::Batch => "batch",
            Self::EachLine => "each-line",
            Self::LineService => "line-service",
            Self::Router => "router",
            Self::Session => "session",
            Self::BareTokio => "bare-tokio",
            Self::TailTokio => "tail-tokio",
            Self::RawTokio => "raw-tokio",
            Self::BareTokioRustls => "bare-tokio-rustls",
            Self::FullHandshakes => "full-handshakes",
            Self::CRaw => "c-raw",
            Self::CLines => "c-lines",
            Self::Sha2 => "sha2",
        }
    }
}

/// One turn of one implementation.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measurement {
    pub(crate) lines: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) generator_cpu_seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Share of the window in which the server or the load waited for its core.
    pub(crate) queued_share: f64,
    /// Resident bytes per connection after its first line, and what remains of a burst.
    pub(crate) idle_bytes: Option<f64>,
    pub(crate) burst_growth_bytes: Option<f64>,
}

impl Measurement {
    #[expect(clippy::cast_precision_loss, reason = "ratios do not need the 53rd bit")]
    pub(crate) fn lines_per_cpu_second(&self) -> f64 {
        self.lines as f64 / self.cpu_seconds
    }

    /// CPU time of the server per line, in nanoseconds; `None` for a measurement of memory.
    pub(crate) fn ns_per_line(&self) -> Option<f64> {
        (self.lines > 0).then(|| 1e9 / self.lines_per_cpu_second())
    }

    #[expect(clippy::cast_precision_loss, reason = "ratios do not need the 53rd bit")]
    pub(crate) fn lines_per_second(&self) -> f64 {
        self.lines as f64 / self.seconds
    }
}

impl From<(WindowReport, Duration)> for Measurement {
    fn from((report, queued): (WindowReport, Duration)) -> Self {
        Self {
            lines: report.lines,
            seconds: report.seconds,
            cpu_seconds: Duration::from_nanos(report.server_cpu_ns).as_secs_f64(),
            generator_cpu_seconds: report.generator_cpu_seconds,
            p50_us: report.p50_us,
            p99_us: report.p99_us,
            queued_share: queued.as_secs_f64() / report.seconds,
            ..Self::default()
        }
    }
}
