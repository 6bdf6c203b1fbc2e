//! The server under a service manager: the socket it is passed, and what it tells.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use rustix::{net::SocketType, process::Signal};
use server::{Server, exchange};
use support::TempFile;

/// Long enough for a busy machine; what hangs fails the test instead of blocking it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What starts a program as a manager does: `fd` as descriptor 3, and variables that say so.
fn manager(fd: impl AsFd, count: &str, pid: &str) -> Command {
    // The shell's own number stays, since it becomes the program.
    const PASS: &str = r#"exec 3<&0 </dev/null; export LISTEN_PID=$PASSED_TO; exec "$@""#;
    let mut command = Command::new("sh");
    let pass = PASS.replace("$PASSED_TO", if pid == "own" { "$$" } else { pid });
    command.args(["-c", &pass, "sh"]);
    let stdin: OwnedFd = fd.as_fd().try_clone_to_owned().unwrap();
    command.env_clear().env("LISTEN_FDS", count).stdin(Stdio::from(stdin));
    command
}

/// One line over a connection of its own: whether it was answered, or the connection ended in order
/// before it was taken. Anything else is what must not happen.
fn visit(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"visitor\n").unwrap();
    let mut answer = [0; 8];
    match stream.read_exact(&mut answer) {
        Ok(()) => assert_eq!(&answer, b"visitor\n"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}"),
    }
    answer != [0; 8]
}

/// The socket belongs to the manager and outlives the server, so who connects between two servers
/// waits in its queue.
#[test]
fn fault_30_a_restart_under_socket_activation_resets_nobody() {
    restart_under(8);
}

/// A drain was over as soon as every place was free, which they are for a moment between two short
/// connections, and the acceptor handed one more to a shard that had ended: it was reset.
#[test]
fn fault_30_a_restart_between_two_connections_resets_nobody() {
    restart_under(1);
}

#[track_caller]
fn restart_under(visitors: usize) {
    const RESTARTS: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = || Server::start_by(&mut manager(&listener, "1", "own"), &["--threads", "2"]);

    let over = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let wait_for_visitors = || {
        let enough = answered.load(Relaxed) + 10 * visitors;
        for _ in 0..PATIENCE.as_millis() {
            if answered.load(Relaxed) >= enough {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("nobody is answered any more");
    };
    // Outlives the visits: to kill it would reset the last of them.
    let _last = thread::scope(|scope| {
        let _ends_visits = OnDrop(|| over.store(true, Relaxed));
        let mut server = start();
        for _ in 0..visitors {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    answered.fetch_add(usize::from(visit(address)), Relaxed);
                }
            });
        }
        for _ in 0..RESTARTS {
            wait_for_visitors();
            server.signal(Signal::TERM);
            assert_eq!(server.end().code, 0);
            // So that some do come while there is no server.
            thread::sleep(Duration::from_millis(20));
            server = start();
        }
        wait_for_visitors();
        server
    });
}

/// Also when an assertion fails, or the scope would wait for its threads for ever.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_manager_is_told_when_connections_are_accepted_and_when_the_drain_begins() {
    let file = TempFile::new("");
    fs::remove_file(file.name()).unwrap();
    let told = UnixDatagram::bind(file.name()).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut message = [0; 1024];
        let length = told.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };

    let server = Server::start(&[("NOTIFY_SOCKET", file.name())], &["--threads", "1"]);
    let ready = hear();
    assert!(ready.starts_with("READY=1\nSTATUS=listening on 127.0.0.1:"), "{ready:?}");
    exchange(&mut server.connect(), "a\n", "a\n");

    server.signal(Signal::TERM);
    let stopping = hear();
    assert!(stopping.starts_with("STOPPING=1\nSTATUS=draining "), "{stopping:?}");
    assert_eq!(server.end().code, 0);
}

#[test]
fn a_manager_that_cannot_be_told_is_no_reason_not_to_serve() {
    let server = Server::start(&[("NOTIFY_SOCKET", "/nowhere/notify")], &["--threads", "1"]);
    exchange(&mut server.connect(), "a\n", "a\n");
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("NOTIFY_SOCKET"), "{run:?}");
}

#[test]
fn a_passed_socket_has_the_options_of_one_the_server_binds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut manager = manager(&listener, "1", "own");
    let server = Server::start_by(&mut manager, &["--threads", "1"]);
    exchange(&mut server.connect(), "a\n", "a\n");
    assert!(rustix::net::sockopt::tcp_nodelay(&listener).unwrap());
    assert!(rustix::net::sockopt::socket_keepalive(&listener).unwrap());
}

/// The manager will pass it again, and clients know it by its name.
#[test]
fn the_file_of_a_passed_unix_socket_stays() {
    let file = TempFile::new("");
    fs::remove_file(file.name()).unwrap();
    let listener = UnixListener::bind(file.name()).unwrap();
    let mut manager = manager(&listener, "1", "own");
    let mut server = manager
        .arg(env!("CARGO_BIN_EXE_towline"))
        .args(["serve", "--admin", "off", "--threads", "1", "--log-level", "error"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announcement = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut announcement).unwrap();
    assert_eq!(announcement, format!("listening on unix:{} (admin off)\n", file.name()));
    let mut client = UnixStream::connect(file.name()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"a\n").unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"a\n");
    drop(client);
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
    assert!(fs::exists(file.name()).unwrap());
}

#[test]
fn a_socket_passed_to_another_process_is_not_ours() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start_by(&mut manager(&listener, "1", "1"), &["--threads", "1"]);
    assert_ne!(server.lines(), listener.local_addr().unwrap());
    exchange(&mut server.connect(), "a\n", "a\n");
}

#[test]
fn what_is_passed_and_cannot_be_served_is_refused_with_the_reason() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet = rustix::net::socket(rustix::net::AddressFamily::INET, SocketType::STREAM, None);
    let file = File::open("/dev/null").unwrap();
    let cases: [(OwnedFd, &str, &str, &str); 7] = [
        (tcp.try_clone().unwrap().into(), "2", "own", "LISTEN_FDS = \"2\""),
        (tcp.try_clone().unwrap().into(), "4294967295", "own", "LISTEN_FDS = \"4294967295\""),
        (tcp.try_clone().unwrap().into(), "many", "own", "LISTEN_FDS = \"many\""),
        (tcp.into(), "1", "init", "LISTEN_PID = \"init\""),
        (udp.into(), "1", "own", "a socket of another type"),
        (quiet.unwrap(), "1", "own", "does not listen"),
        (file.into(), "1", "own", "descriptor 3, which is no socket"),
    ];
    for (fd, count, pid, reason) in cases {
        let output = manager(fd, count, pid)
            .arg(env!("CARGO_BIN_EXE_towline"))
            .args(["serve", "--log-level", "error", "--listen", "127.0.0.1:0", "--admin", "off"])
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{reason}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.starts_with("towline: LISTEN_") && told.contains(reason), "{told}");
    }
}
