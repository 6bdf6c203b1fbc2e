use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Client, Metrics, Run, can, command::binary, http, wait_for};

/// A `towline serve` on ports chosen by the kernel, killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    process: Child,
    stdout: BufReader<ChildStdout>,
    lines: Vec<SocketAddr>,
    admin: SocketAddr,
}

impl ServerProcess {
    /// Starts it with only these variables in its environment.
    #[track_caller]
    pub fn start(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.env_clear().envs(environment.iter().copied());
        Self::spawn(&mut command, arguments)
    }

    /// Starts it by another program, which gets its path and arguments behind its own.
    #[track_caller]
    pub fn start_by(command: &mut Command, arguments: &[&str]) -> Self {
        Self::spawn(command.arg(binary()), arguments)
    }

    /// Starts it under strace, which makes system calls fail as `inject` says; `None` without strace.
    #[track_caller]
    pub fn start_injected(inject: &[&str], arguments: &[&str]) -> Option<Self> {
        if !can("strace -o /dev/null true") {
            return None;
        }
        let mut strace = Command::new("strace");
        // With -D the server, not strace, is this process's child.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
        for inject in inject {
            let traced = format!("trace={}", inject.split(':').next().unwrap());
            strace.args(["-e", &traced, "-e", &format!("inject={inject}")]);
        }
        Some(Self::start_by(&mut strace, arguments))
    }

    #[track_caller]
    fn spawn(command: &mut Command, arguments: &[&str]) -> Self {
        let mut process = command
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let parsed = || {
            let rest = line.strip_prefix("listening on ")?.strip_suffix(")\n")?;
            let (lines, admin) = rest.split_once(" (admin ")?;
            let lines: Option<Vec<_>> =
                lines.split(", ").map(|address| address.parse().ok()).collect();
            Some((lines?, admin.parse().ok()?))
        };
        let (lines, admin) = parsed().unwrap_or_else(|| panic!("it printed {line:?}"));
        Self { process, stdout, lines, admin }
    }

    /// The address for lines, the first of several.
    pub fn lines(&self) -> SocketAddr {
        self.lines[0]
    }

    /// The addresses for lines: those of `--listen` flags, and one without options.
    pub fn all_lines(&self) -> &[SocketAddr] {
        &self.lines
    }

    /// The address of the admin port.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process that was started: of several, the supervisor.
    pub const fn process(&self) -> &Child {
        &self.process
    }

    /// Its worker processes, whichever of its threads started them.
    pub fn workers(&self) -> Vec<i32> {
        // A thread may end meanwhile.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).into_iter().flatten();
        let lists =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        let pids = |list: String| -> Vec<i32> {
            list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
        };
        lists.flat_map(pids).collect()
    }

    /// Its standard error, which [`end`](Self::end) reads otherwise.
    pub fn log(&mut self) -> ChildStderr {
        self.process.stderr.take().unwrap()
    }

    /// The first address that lines are served on.
    pub fn address(&self) -> SocketAddr {
        self.lines[0]
    }

    /// A new client.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.lines())
    }

    /// `count` clients, each of which has exchanged a line.
    #[track_caller]
    pub fn connect_many(&self, count: usize) -> Vec<Client> {
        let mut clients: Vec<_> = (0..count).map(|_| self.connect()).collect();
        clients.iter_mut().for_each(|client| client.ask("hello\n", "hello\n"));
        clients
    }

    /// The body of the admin port's answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> String {
        http::get(self.admin, path).body
    }

    /// A scrape.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        http::scrape(self.admin)
    }

    /// The value of a series, by its name with its labels as exported.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        self.metrics().get(series)
    }

    /// Waits until a series is as `expected`.
    #[track_caller]
    pub fn metric_when(&self, series: &str, expected: impl Fn(f64) -> bool) {
        wait_for(series, || {
            let value = self.metric(series);
            if expected(value) { Ok(()) } else { Err(value) }
        });
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Stops it with SIGSTOP, and waits until every thread of it stands still.
    #[track_caller]
    pub fn stop(&self) {
        crate::process::stop(self.process.id() as i32);
    }

    /// Waits for the end; what was printed after the announcement.
    #[track_caller]
    pub fn end(mut self) -> Run {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        if let Some(mut log) = self.process.stderr.take() {
            log.read_to_string(&mut stderr).unwrap();
        }
        let status = self.process.wait().unwrap();
        let code = status.code().unwrap_or_else(|| panic!("a signal ended it: {status}"));
        Run { code, stdout, stderr }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Workers whose supervisor is killed would drain first.
        let workers = self.workers();
        // Already over in a test that went well.
        let _ = self.process.kill();
        for worker in workers.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(worker, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}
