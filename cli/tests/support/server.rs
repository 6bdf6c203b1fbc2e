#![allow(dead_code, reason = "each test uses a part")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
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

    pub(crate) const fn process(&self) -> &Child {
        &self.process
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.lines
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
        let metrics = self.get("/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("there is no {series}")).parse().unwrap()
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
        self.process.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.process.wait().unwrap();
        let code = status.code().unwrap_or_else(|| panic!("it did not end by itself: {status}"));
        Run { code, stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already over in a test that went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
