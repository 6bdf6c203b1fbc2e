//! Starts any implementation, on the cores that a scenario gives it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Error, c_programs::CPrograms, child::Server, implementation::Implementation};

/// Longest wait for the address of a server.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A flag that makes towline listen on a UNIX socket in the benchmark's own directory.
pub(crate) const ON_UNIX_SOCKET: &str = "--listen=unix";

/// The cores of a server; the load has a core of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The servers' core.
    One,
    /// All cores, the load's among them.
    All,
}

/// The towline binary, and flags for every server started from it.
#[derive(Clone, Debug)]
pub(crate) struct Towline {
    pub(crate) path: Option<PathBuf>,
    pub(crate) admin: String,
    pub(crate) flags: Vec<String>,
}

/// `given`, or the towline binary that Cargo put next to this one.
pub(crate) fn find_towline(given: Option<PathBuf>) -> Option<PathBuf> {
    given.or_else(|| find_beside("towline"))
}

/// The program of this name that Cargo put next to this one.
pub(crate) fn find_beside(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    path.exists().then_some(path)
}

/// `given`, or the library's example `ways` that Cargo put below this binary.
pub(crate) fn find_ways(given: Option<PathBuf>) -> Option<PathBuf> {
    find_example(given, "ways")
}

/// `given`, or the library's example of this name that Cargo put below this binary.
pub(crate) fn find_example(given: Option<PathBuf>, name: &str) -> Option<PathBuf> {
    given.or_else(|| {
        let path = std::env::current_exe().ok()?.with_file_name("examples").join(name);
        path.exists().then_some(path)
    })
}

/// Everything that is needed to start servers.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) programs: CPrograms,
    pub(crate) towline: Towline,
    /// The library's example `ways`.
    pub(crate) ways: Option<PathBuf>,
    /// Another towline binary to compare with.
    pub(crate) baseline: Option<PathBuf>,
}

impl Launcher {
    /// Whether the implementation can be started: towline needs a binary.
    pub(crate) fn has(&self, implementation: Implementation) -> bool {
        match implementation {
            Implementation::Baseline => self.baseline.is_some(),
            _ if implementation.way().is_some() => self.ways.is_some(),
            _ => implementation.flags().is_none() || self.towline.path.is_some(),
        }
    }

    /// Whether the baseline has the same bytes: then two runs of one build are compared.
    pub(crate) fn baseline_is_the_same_build(&self) -> bool {
        let read = |path: &Option<PathBuf>| path.as_ref().and_then(|path| fs::read(path).ok());
        let ours = read(&self.towline.path);
        ours.is_some() && ours == read(&self.baseline)
    }

    /// Starts an implementation with further `flags`.
    pub(crate) fn start(
        &self,
        implementation: Implementation,
        flags: &[&str],
        cores: Cores,
    ) -> Result<Server, Error> {
        let mut command = self.command(implementation, flags)?;
        self.start_command(&mut command, START_TIMEOUT, cores)
    }

    /// Starts a server; the error quotes the last line that the server printed on standard error.
    pub(crate) fn start_command(
        &self,
        command: &mut Command,
        timeout: Duration,
        cores: Cores,
    ) -> Result<Server, Error> {
        let log = self.programs.path("stderr");
        command.stderr(fs::File::create(&log)?);
        let started = match cores {
            Cores::One => Server::start(command, timeout),
            Cores::All => Server::start_on_all_cores(command, timeout),
        };
        started.map_err(|error| {
            let printed = fs::read_to_string(&log).unwrap_or_default();
            format!("{error}: {}", printed.lines().last().unwrap_or("it printed no error")).into()
        })
    }

    /// The command that starts an implementation with further `flags`.
    pub(crate) fn command(
        &self,
        implementation: Implementation,
        flags: &[&str],
    ) -> Result<Command, Error> {
        let tokio = |line_search: &str| -> Result<Command, Error> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["peer", line_search]);
            Ok(command)
        };
        if let Some(own) = implementation.flags() {
            let path = match implementation {
                Implementation::Baseline => &self.baseline,
                _ => &self.towline.path,
            };
            let path = path.as_deref().ok_or("no towline binary")?;
            return Ok(self.towline_command(path, &[own, flags].concat()));
        }
        if let Some(way) = implementation.way() {
            let ways = self.ways.as_deref().ok_or("no example `ways`")?;
            let mut command = Command::new(ways);
            command.args([way, "127.0.0.1:0"]);
            return Ok(command);
        }
        match implementation {
            Implementation::BareTokio => tokio("for-each"),
            Implementation::TailTokio => tokio("for-the-last"),
            Implementation::RawTokio => tokio("never"),
            Implementation::BareTokioRustls => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("tls-peer").args(flags);
                Ok(command)
            }
            Implementation::CRaw | Implementation::CLines => {
                Ok(Command::new(self.programs.path(implementation.name())))
            }
            _ => Err(format!("{} is not a server", implementation.name()).into()),
        }
    }

    /// The default configuration, on one thread like every reference, unless the flags say otherwise.
    fn towline_command(&self, path: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(path);
        command.arg("serve").arg("--listen");
        match flags.contains(&ON_UNIX_SOCKET) {
            true => command.arg(format!("unix:{}", self.programs.path("lines.sock").display())),
            false => command.arg("127.0.0.1:0"),
        };
        if !flags.iter().any(|flag| flag.starts_with("--threads")) {
            command.args(["--threads", "1"]);
        }
        let others = flags.iter().filter(|flag| **flag != ON_UNIX_SOCKET);
        command.args(others).args(&self.towline.flags);
        if !flags.contains(&"--admin=off") {
            command.arg("--admin").arg(&self.towline.admin);
        }
        command
    }
}
