#![allow(dead_code, reason = "each test uses a part")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Run;

/// Long enough for a busy machine; a server that hangs fails the test instead of blocking it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on ports of its own, ended with the test.
pub(crate) struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    lines: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    pub(crate) fn start(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towline"));
        command.env_clear().envs(environment.iter().copied());
        Self::spawn(&mut command, arguments)
    }

    /// Starts it by another program, which is given its path and arguments behind its own.
    pub(crate) fn start_by(command: &mut Command, arguments: &[&str]) -> Self {
        Self::spawn(command.arg(env!("CARGO_BIN_EXE_towline")), arguments)
    }

    /// Starts it under strace, which does to its system calls what `inject` says; `None` where there
    /// is no strace, outside CI.
    pub(crate) fn start_injected(inject: &[&str], arguments: &[&str]) -> Option<Self> {
        if !can("strace -o /dev/null true") {
            return None;
        }
        let mut strace = Command::new("strace");
        // With -D the server is this process's child, and strace is on the side.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
        for inject in inject {
            let traced = format!("trace={}", inject.split(':').next().unwrap());
            strace.args(["-e", &traced, "-e", &format!("inject={inject}")]);
        }
        Some(Self::start_by(&mut strace, arguments))
    }

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
            Some((lines.parse().ok()?, admin.parse().ok()?))
        };
        let (lines, admin) = parsed().unwrap_or_else(|| panic!("it printed {line:?}"));
        Self { process, stdout, lines, admin }
    }

    pub(crate) const fn lines(&self) -> SocketAddr {
        self.lines
    }

    pub(crate) const fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub(crate) const fn process(&self) -> &Child {
        &self.process
    }

    /// The worker processes of a server of several, by whichever thread started them.
    pub(crate) fn workers(&self) -> Vec<i32> {
        // A thread may end while one looks.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).into_iter().flatten();
        let lists =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
        lists
            .flat_map(|list| {
                list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Its standard error, for a test that reads it in its own time. Nobody does before the end.
    pub(crate) fn log(&mut self) -> ChildStderr {
        self.process.stderr.take().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.lines).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The body of what the admin endpoint answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut admin = TcpStream::connect(self.admin).unwrap();
        admin.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(admin, "GET {path} HTTP/1.1\r\nhost: towline\r\n\r\n").unwrap();
        let mut answer = String::new();
        admin.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The value of a series, by its name with its labels as exported.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let body = self.get("/metrics");
        value(&body, series).unwrap_or_else(|| panic!("there is no {series} in {body}"))
    }

    /// Waits until a series is as `expected`.
    #[track_caller]
    pub(crate) fn metric_when(&self, series: &str, expected: impl Fn(f64) -> bool) {
        let tries = PATIENCE.as_millis() / 10;
        for _ in 0..tries {
            if expected(self.metric(series)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{series} never came to that");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for the end; what was printed after the first line.
    pub(crate) fn end(mut self) -> Run {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        if let Some(mut log) = self.process.stderr.take() {
            log.read_to_string(&mut stderr).unwrap();
        }
        let status = self.process.wait().unwrap();
        let code = status.code().unwrap_or_else(|| panic!("it did not end by itself: {status}"));
        Run { code, stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Workers whose supervisor was killed would drain first.
        let workers = self.workers();
        // Already over in a test that went well.
        let _ = self.process.kill();
        for worker in workers.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(worker, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// Whether this host has a program of another package, and lets it do what tests need. In CI it must.
pub(crate) fn can(words: &str) -> bool {
    let ran = Command::new("sh").args(["-c", words]).stdin(Stdio::null()).output();
    let can = ran.is_ok_and(|output| output.status.success());
    if !can {
        assert!(env::var_os("CI").is_none(), "`{words}` fails, so nothing was tested");
        eprintln!("skipped: `{words}` fails here");
    }
    can
}

/// What the kernel has counted of TCP in this thread's network.
pub(crate) fn kernel_counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|known| known == name).unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

/// The value of a series in what `/metrics` answered.
pub(crate) fn value(metrics: &str, series: &str) -> Option<f64> {
    let mut values =
        metrics.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.next()?.parse().ok()
}

pub(crate) const TOO_MANY: &str = "ERR too many connections\n";

/// The first line that comes.
pub(crate) fn answer(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// What comes back for `lines`, as many bytes as `expected` has.
#[track_caller]
pub(crate) fn exchange(stream: &mut TcpStream, lines: &str, expected: &str) {
    stream.write_all(lines.as_bytes()).unwrap();
    expect(stream, expected);
}

#[track_caller]
pub(crate) fn expect(stream: &mut TcpStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}
