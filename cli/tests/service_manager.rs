//! The server under a service manager: socket activation and notifications.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddress, UnixDatagram, UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use rustix::{net::SocketType, process::Signal};
use towline_test_support::{Client, PATIENCE, ServerProcess, TempFile, wait_until};

/// Starts a program as a manager does: `fd` as descriptor 3, and the variables of socket activation.
fn manager(fd: impl AsFd, count: &str, pid: &str) -> Command {
    // The shell becomes the program, so its process id stays the same.
    const PASS: &str = r#"exec 3<&0 </dev/null; export LISTEN_PID=$PASSED_TO; exec "$@""#;
    let mut command = Command::new("sh");
    let pass = PASS.replace("$PASSED_TO", if pid == "own" { "$$" } else { pid });
    command.args(["-c", &pass, "sh"]);
    let stdin: OwnedFd = fd.as_fd().try_clone_to_owned().unwrap();
    command.env_clear().env("LISTEN_FDS", count).stdin(Stdio::from(stdin));
    command
}

/// Sends one line over a new connection. Returns true if it was answered, and false if the connection
/// was closed in order before the line was read; fails on anything else.
fn exchange_line(address: SocketAddr) -> bool {
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

/// The manager's socket outlives the server, so a connection between two servers waits in its queue.
#[test]
fn fault_30_a_restart_under_socket_activation_resets_no_connection() {
    restart_under(8);
}

/// A drain ended as soon as every slot was free, as for a moment between two short connections; the
/// acceptor then sent one more connection to a shard that had ended, and it was reset.
#[test]
fn fault_30_a_restart_between_two_connections_resets_no_connection() {
    restart_under(1);
}

#[track_caller]
fn restart_under(clients: usize) {
    const RESTARTS: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start =
        || ServerProcess::start_by(&mut manager(&listener, "1", "own"), &["--threads", "2"]);

    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let wait_for_replies = || {
        let enough = answered.load(Relaxed) + 10 * clients;
        wait_until("replies", || answered.load(Relaxed) >= enough);
    };
    // Dropped after the clients: killing it would reset the last of them.
    let _last = thread::scope(|scope| {
        let _stops_clients = OnDrop(|| stop.store(true, Relaxed));
        let mut server = start();
        for _ in 0..clients {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    answered.fetch_add(usize::from(exchange_line(address)), Relaxed);
                }
            });
        }
        for _ in 0..RESTARTS {
            wait_for_replies();
            server.signal(Signal::TERM);
            assert_eq!(server.end().code, 0);
            // Some connections arrive while there is no server.
            thread::sleep(Duration::from_millis(20));
            server = start();
        }
        wait_for_replies();
        server
    });
}

/// Stops the clients also after a failed assertion: a scope waits for its threads.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_manager_is_notified_when_connections_are_accepted_and_when_the_drain_starts() {
    let manager = Manager::new();
    let server = manager.start(&["--threads", "1"]);
    let ready = manager.receive();
    assert!(ready.starts_with("READY=1\nSTATUS=listening on 127.0.0.1:"), "{ready:?}");
    server.connect().ask("a\n", "a\n");

    server.signal(Signal::TERM);
    let stopping = manager.receive();
    assert!(stopping.starts_with("STOPPING=1\nSTATUS=draining "), "{stopping:?}");
    assert_eq!(server.end().code, 0);
}

/// A service manager's socket, to be read by [`receive`](Self::receive) only.
struct Manager {
    file: TempFile,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let file = TempFile::absent();
        let socket = UnixDatagram::bind(file.name()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { file, socket }
    }

    fn start(&self, flags: &[&str]) -> ServerProcess {
        ServerProcess::start(&[("NOTIFY_SOCKET", self.file.name())], flags)
    }

    fn receive(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// Fills the queue of the socket; returns with how many messages.
    fn fill(&self) -> usize {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        (0..).find(|_| sender.send_to(b"EXTRA=1", self.file.name()).is_err()).unwrap()
    }
}

/// Notifications were sent by the thread that handles signals, and waited for room in the queue of the
/// manager. When that was full, neither the first SIGTERM nor the second ended the server.
#[test]
fn fault_30_a_manager_that_does_not_read_delays_no_stop() {
    for processes in ["1", "2"] {
        let manager = Manager::new();
        let server = manager.start(&["--threads", "1", "--processes", processes]);
        assert!(manager.receive().starts_with("READY=1\n"));
        manager.fill();
        server.signal(Signal::TERM);
        let run = server.end();
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(run.stderr.matches("NOTIFY_SOCKET").count(), 1, "{run:?}");
    }
}

/// A manager that misses this one would end the server.
#[test]
fn fault_30_a_full_queue_of_the_manager_delays_readiness_and_loses_it_not() {
    let manager = Manager::new();
    let extra = manager.fill();
    let mut server = manager.start(&["--threads", "1"]);
    let mut log = BufReader::new(server.log()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("NOTIFY_SOCKET")), "it is said");
    server.connect().ask("a\n", "a\n");
    for _ in 0..extra {
        assert_eq!(manager.receive(), "EXTRA=1");
    }
    assert!(manager.receive().starts_with("READY=1\n"));
    server.signal(Signal::TERM);
    assert!(manager.receive().starts_with("STOPPING=1\n"));
    assert_eq!(server.end().code, 0);
    assert!(!log.any(|line| line.contains("NOTIFY_SOCKET")), "it is said once");
}

/// Managers of users and of containers use such names.
#[test]
fn a_manager_behind_an_abstract_name_is_notified() {
    let name = format!("towline-test-{}", std::process::id());
    let address = UnixAddress::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _server = ServerProcess::start(&[("NOTIFY_SOCKET", &format!("@{name}"))], &[]);
    let mut message = [0; 8];
    socket.recv(&mut message).unwrap();
    assert_eq!(&message, b"READY=1\n");
}

#[test]
fn a_server_whose_manager_cannot_be_notified_serves() {
    let server = ServerProcess::start(&[("NOTIFY_SOCKET", "/nowhere/notify")], &["--threads", "1"]);
    server.connect().ask("a\n", "a\n");
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("NOTIFY_SOCKET"), "{run:?}");
}

#[test]
fn a_passed_socket_gets_the_options_of_a_bound_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut manager = manager(&listener, "1", "own");
    let server = ServerProcess::start_by(&mut manager, &["--threads", "1"]);
    server.connect().ask("a\n", "a\n");
    assert!(rustix::net::sockopt::tcp_nodelay(&listener).unwrap());
    assert!(rustix::net::sockopt::socket_keepalive(&listener).unwrap());
}

/// The manager passes it again to the next server, and clients connect to its path.
#[test]
fn the_file_of_a_passed_unix_socket_stays() {
    let file = TempFile::absent();
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
fn several_sockets_are_passed_and_take_the_options_of_their_names() {
    // The second as standard error, which the shell moves to descriptor 4.
    const PASS: &str = "exec 3<&0 4<&2 </dev/null 2>/dev/null; export LISTEN_PID=$$; exec \"$@\"";
    let (first, second) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut server = Command::new("sh")
        .args(["-c", PASS, "sh", env!("CARGO_BIN_EXE_towline"), "serve", "--threads", "1"])
        .args(["--admin", "off", "--listen", "127.0.0.1:1,name=public"])
        .args(["--listen", "127.0.0.1:2,name=staff,connections=1"])
        .env_clear()
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "staff:public")
        .stdin(Stdio::from(OwnedFd::from(first.try_clone().unwrap())))
        .stderr(Stdio::from(OwnedFd::from(second.try_clone().unwrap())))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announcement = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut announcement).unwrap();
    let [staff, public] = [first, second].map(|listener| listener.local_addr().unwrap());
    assert_eq!(announcement, format!("listening on {staff}, {public} (admin off)\n"));
    let mut open: Vec<_> = [staff, public, public].map(Client::connect).into();
    open.iter_mut().for_each(|client| client.ask("a\n", "a\n"));
    Client::connect(staff).expect_end("ERR too many connections\n");
    drop(open);
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn a_socket_passed_to_another_process_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = ServerProcess::start_by(&mut manager(&listener, "1", "1"), &["--threads", "1"]);
    assert_ne!(server.lines(), listener.local_addr().unwrap());
    server.connect().ask("a\n", "a\n");
}

#[test]
fn a_passed_descriptor_that_cannot_be_served_is_an_error_with_the_reason() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet = rustix::net::socket(rustix::net::AddressFamily::INET, SocketType::STREAM, None);
    let file = File::open("/dev/null").unwrap();
    let cases: [(OwnedFd, &str, &str, &str); 7] = [
        (tcp.try_clone().unwrap().into(), "2", "own", "descriptor 4, which is not open"),
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
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{reason}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with("towline: LISTEN_") && error.contains(reason), "{error}");
    }
}
