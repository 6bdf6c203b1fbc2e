//! The watchdog of a service manager: it is fed while every thread that serves lines runs.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(clippy::print_stdout, reason = "a test is a server that announces itself")]

use std::{
    convert::Infallible,
    env,
    io::{BufRead as _, BufReader, ErrorKind},
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use towline::{Lines, Server, service_fn};
use towline_test_support::{Client, PATIENCE, ServerProcess, TempFile, signal, stop, wait_until};

/// Microseconds that the manager gives; fed is it twice in them.
const PERIOD: &str = "1000000";

/// Longer than the time after which a thread that does not run keeps the watchdog from being fed, twice over.
const HUNG: Duration = Duration::from_secs(8);

/// A manager, to be read by one test.
struct Manager {
    file: TempFile,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let file = TempFile::absent();
        let socket = UnixDatagram::bind(file.name()).unwrap();
        Self { file, socket }
    }

    fn environment<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&[("NOTIFY_SOCKET", self.file.name()), ("WATCHDOG_USEC", PERIOD)], more].concat()
    }

    /// The next notification within `time`.
    fn receive(&self, time: Duration) -> Option<String> {
        let mut message = [0; 1024];
        self.socket.set_read_timeout(Some(time)).unwrap();
        match self.socket.recv(&mut message) {
            Ok(length) => Some(String::from_utf8(message[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until the watchdog is fed.
    #[track_caller]
    fn fed(&self) {
        wait_until("a watchdog that is fed", || {
            self.receive(PATIENCE).as_deref() == Some("WATCHDOG=1\n")
        });
    }

    /// Waits until the watchdog has not been fed for a while that is longer than its whole time.
    #[track_caller]
    fn starved(&self) {
        wait_until("a watchdog that is not fed", || {
            self.receive(Duration::from_millis(1_500)).is_none()
        });
    }
}

#[test]
fn the_watchdog_is_fed_by_one_process_and_by_several_until_the_end_of_the_drain() {
    for processes in ["1", "2"] {
        let manager = Manager::new();
        let flags = ["--threads", "2", "--processes", processes];
        let server = ServerProcess::start(&manager.environment(&[]), &flags);
        (0..4).for_each(|_| manager.fed());
        // The drain waits for a client that has half a line.
        let mut client = server.connect();
        client.ask("a\nhalf", "a\n");
        server.signal(Signal::TERM);
        wait_until("the drain", || {
            manager.receive(PATIENCE).is_some_and(|message| message.starts_with("STOPPING=1\n"))
        });
        client.send(" a line\n");
        assert_eq!(server.end().code, 0);
    }
}

/// The supervisor served signals and scrapes, and the clients of the worker were served nothing.
#[test]
fn fault_31_the_watchdog_is_not_fed_while_a_worker_process_stands_still() {
    let manager = Manager::new();
    let server = ServerProcess::start(&manager.environment(&[]), &["--processes", "2"]);
    manager.fed();
    let [worker, ..] = server.workers()[..] else { panic!("no workers") };
    stop(worker);
    manager.starved();
    signal(worker, Signal::CONT);
    manager.fed();
    // One that dies is replaced: that is not for the manager to do.
    signal(worker, Signal::KILL);
    (0..6).for_each(|_| manager.fed());
}

#[test]
fn a_watchdog_of_another_process_is_not_fed_and_a_wrong_time_is_said() {
    let manager = Manager::new();
    let other = manager.environment(&[("WATCHDOG_PID", "1")]);
    let _server = ServerProcess::start(&other, &["--threads", "1"]);
    assert!(manager.receive(PATIENCE).unwrap().starts_with("READY=1\n"));
    assert_eq!(manager.receive(Duration::from_millis(1_500)), None);

    let wrong = manager.environment(&[("WATCHDOG_USEC", "30s")]);
    let server = ServerProcess::start(&wrong, &["--threads", "1"]);
    server.signal(Signal::TERM);
    let log = server.end().stderr;
    assert!(log.contains("WATCHDOG_USEC = \"30s\" is not a number of microseconds"), "{log}");
}

/// The test that serves, in a process of its own.
const HOG: &str = "a_server_with_a_service_that_blocks_its_thread";

/// Serves if it is asked to: the program `towline` has no service that blocks.
#[test]
fn a_server_with_a_service_that_blocks_its_thread() {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let hog = service_fn(|lines: Lines| {
        if lines.as_bytes().starts_with(b"hog") {
            thread::sleep(HUNG);
        }
        async move { Ok::<_, Infallible>(lines) }
    });
    let server = Server::builder().listen("127.0.0.1:0").threads(2).serve(hog).start().unwrap();
    let announce = |server: &towline::Running| println!("\n{}", server.announcement());
    server.run_until_signal(None, announce).unwrap();
}

struct Hog(Child, SocketAddr);

impl Hog {
    fn start(manager: &Manager) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args([HOG, "--exact", "--nocapture"])
            .envs(manager.environment(&[]))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("listening on ")?.split(' ').next()?.parse().ok());
        Self(process, address.unwrap())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other thread of the server answers, and its admin port would.
#[test]
fn the_watchdog_is_not_fed_while_a_service_blocks_one_thread() {
    let manager = Manager::new();
    let server = Hog::start(&manager);
    manager.fed();
    let mut hog = Client::connect(server.1);
    hog.send("hog\n");
    manager.starved();
    hog.ask("", "hog\n");
    (0..3).for_each(|_| manager.fed());
}
