//! Who can be measured, how each is started, and what one run of it yields.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Serialize;

use crate::{Error, c_peers::Workshop, child::Server, generator::Seen};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// The server of this workspace.
    Towline,
    /// The same without heartbeat, deadlines and optional limits: what supervision costs.
    Unsupervised,
    /// The same without an admin endpoint and its thread: what being watched costs.
    Unobserved,
    /// The same in one process that has a thread for each core: what several processes cost.
    Threads,
    /// Bare tokio that finds every line: the reference of the demanded ratios.
    BareTokio,
    /// Bare tokio that finds only the last line end of each read.
    TailTokio,
    /// Bare tokio that never looks.
    RawTokio,
    /// C on epoll that never looks.
    CRaw,
    /// C on epoll that finds every line.
    CLines,
    /// Not a server: SHA-256 of the same lines, in a loop.
    Sha2,
}

impl Subject {
    /// The flags that make it what it is, if it is towline.
    const fn flags(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Towline => Some(&[]),
            Self::Unsupervised => Some(&[
                "--heartbeat=off",
                "--line-deadline=off",
                "--write-timeout=off",
                "--request-timeout=off",
            ]),
            Self::Unobserved => Some(&["--admin=off"]),
            Self::Threads => Some(&["--threads=2"]),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Towline => "towline",
            Self::Unsupervised => "unsupervised",
            Self::Unobserved => "unobserved",
            Self::Threads => "threads",
            Self::BareTokio => "bare-tokio",
            Self::TailTokio => "tail-tokio",
            Self::RawTokio => "raw-tokio",
            Self::CRaw => "c-raw",
            Self::CLines => "c-lines",
            Self::Sha2 => "sha2",
        }
    }
}

/// Where a server runs; the load has a core of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// On the servers' core.
    One,
    /// On all there are, the load's among them.
    All,
}

/// How to start towline.
#[derive(Clone, Debug)]
pub(crate) struct Towline {
    pub(crate) path: Option<PathBuf>,
    pub(crate) admin: String,
    pub(crate) more: Vec<String>,
}

impl Towline {
    /// `given`, or the one Cargo put next to this binary.
    pub(crate) fn find(given: Option<PathBuf>, admin: String, more: Vec<String>) -> Self {
        let beside = || {
            let path = std::env::current_exe().ok()?.with_file_name("towline");
            path.exists().then_some(path)
        };
        Self { path: given.or_else(beside), admin, more }
    }
}

/// Everything needed to start any subject.
#[derive(Debug)]
pub(crate) struct Stable {
    pub(crate) shop: Workshop,
    pub(crate) towline: Towline,
}

impl Stable {
    pub(crate) fn has(&self, subject: Subject) -> bool {
        subject.flags().is_none() || self.towline.path.is_some()
    }

    /// Starts a subject on the cores it is given.
    pub(crate) fn start(
        &self,
        subject: Subject,
        flags: &[&str],
        cores: Cores,
    ) -> Result<Server, Error> {
        let mut command = self.command(subject, flags)?;
        self.start_command(&mut command, Duration::from_secs(10), cores)
    }

    /// Starts a server, and quotes what it said when it would not start.
    pub(crate) fn start_command(
        &self,
        command: &mut Command,
        patience: Duration,
        cores: Cores,
    ) -> Result<Server, Error> {
        let log = self.shop.path("stderr");
        command.stderr(fs::File::create(&log)?);
        let started = match cores {
            Cores::One => Server::start(command, patience),
            Cores::All => Server::start_anywhere(command, patience),
        };
        started.map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("{error}: {}", said.lines().last().unwrap_or("it said nothing")).into()
        })
    }

    pub(crate) fn command(&self, subject: Subject, flags: &[&str]) -> Result<Command, Error> {
        let peer = |looks: &str| -> Result<Command, Error> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["peer", looks]);
            Ok(command)
        };
        if let Some(own) = subject.flags() {
            let path = self.towline.path.as_deref().ok_or("no towline binary")?;
            return Ok(self.towline_command(path, &[own, flags].concat()));
        }
        match subject {
            Subject::BareTokio => peer("for-each"),
            Subject::TailTokio => peer("for-the-last"),
            Subject::RawTokio => peer("never"),
            Subject::CRaw | Subject::CLines => Ok(Command::new(self.shop.path(subject.name()))),
            _ => Err(format!("{} is not a server", subject.name()).into()),
        }
    }

    /// The default configuration, on one thread like every reference, unless the flags say otherwise.
    fn towline_command(&self, path: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(path);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        if !flags.iter().any(|flag| flag.starts_with("--threads")) {
            command.args(["--threads", "1"]);
        }
        command.args(flags).args(&self.towline.more);
        if !flags.contains(&"--admin=off") {
            command.arg("--admin").arg(&self.towline.admin);
        }
        command
    }
}

/// What one turn of one subject yields.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Run {
    pub(crate) lines: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) generator_cpu_seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Share of the window in which the server or the load stood in line for its core.
    pub(crate) queued_share: f64,
    /// Resident bytes a connection holds after its first line, and what a burst adds for good.
    pub(crate) idle_bytes: Option<f64>,
    pub(crate) burst_growth_bytes: Option<f64>,
}

impl Run {
    #[expect(clippy::cast_precision_loss, reason = "ratios do not need the 53rd bit")]
    pub(crate) fn lines_per_cpu_second(&self) -> f64 {
        self.lines as f64 / self.cpu_seconds
    }
}

impl From<(Seen, Duration)> for Run {
    #[expect(clippy::cast_precision_loss, reason = "a window is some hundred ticks")]
    fn from((seen, queued): (Seen, Duration)) -> Self {
        Self {
            lines: seen.lines,
            seconds: seen.seconds,
            cpu_seconds: seen.server_ticks as f64 / seen.ticks_per_second as f64,
            generator_cpu_seconds: seen.generator_cpu_seconds,
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            queued_share: queued.as_secs_f64() / seen.seconds,
            ..Self::default()
        }
    }
}
