//! The builder: where a server listens, its settings, and what it refuses to start with.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener},
    num::NonZeroU32,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use socket2::SockRef;
use support::{echo, echo_service};
use towline::{
    Builder, Heartbeat, Outcome, RunError, Running, Server, Settings,
    config::{Framing, Processes},
};
use towline_test_support::{Client, PATIENCE, wait_until};

/// A free path, removed when the test ends.
struct TempPath(PathBuf);

impl TempPath {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("towline-{}-{}.sock", process::id(), COUNT.fetch_add(1, Relaxed));
        // The path of a socket has at most 107 bytes, so not below the target directory.
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn start_on(path: &Path) -> Result<Running, RunError> {
    let address = format!("unix:{}", path.display());
    Server::builder().listen(&address).threads(1).serve(echo_service()).start()
}

fn ask(path: &Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"over a file\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "over a file\n");
}

/// The sentence of a usage error.
#[track_caller]
fn refusal(result: Result<Running, RunError>) -> String {
    let error = result.err().unwrap();
    assert!(error.is_usage(), "{error}");
    let sentence = error.to_string();
    assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
    sentence
}

#[test]
fn a_unix_socket_is_served_and_its_file_removed_at_the_end() {
    let path = TempPath::new();
    let server = start_on(&path.0).unwrap();
    assert_eq!(server.address(), None);
    ask(&path.0);
    ask(&path.0);
    assert_eq!(server.drain().unwrap(), Outcome::Clean);
    assert!(!path.0.exists());
}

#[test]
fn a_socket_file_left_behind_by_a_server_that_was_killed_is_taken_over() {
    let path = TempPath::new();
    drop(UnixListener::bind(&path.0).unwrap());
    assert!(path.0.exists(), "the standard library leaves the file");
    let _server = start_on(&path.0).unwrap();
    ask(&path.0);
}

#[test]
fn a_unix_socket_in_use_is_refused_and_left_alone() {
    let path = TempPath::new();
    let first = start_on(&path.0).unwrap();
    let error = refusal(start_on(&path.0));
    assert!(error.contains("in use"), "{error}");
    ask(&path.0);
    drop(first);
}

/// The kernel refuses a connection to a regular file just as one to a socket without a listener, so a
/// mistyped path deleted the file that was there.
#[test]
fn a_file_that_is_no_socket_is_refused_and_left_alone() {
    let path = TempPath::new();
    fs::write(&path.0, "dear diary").unwrap();
    refusal(start_on(&path.0));
    assert_eq!(fs::read_to_string(&path.0).unwrap(), "dear diary");
}

/// A blocking connect waits while the other server's queue is full, so the start hung for as long.
#[test]
fn a_unix_socket_whose_queue_is_full_is_in_use() {
    let path = TempPath::new();
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path.0).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _waiting = UnixStream::connect(&path.0).unwrap();
    let error = refusal(start_on(&path.0));
    assert!(error.contains("in use"), "{error}");
}

#[test]
fn an_address_in_use_is_reported_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let lines = Server::builder().listen(&address).serve(echo_service()).start();
    assert_eq!(
        refusal(lines),
        format!(
            "server.listen = \"{address}\" cannot be listened on: the address is in use by another \
             process"
        )
    );
    let admin =
        Server::builder().listen("127.0.0.1:0").admin(&address).serve(echo_service()).start();
    assert!(refusal(admin).starts_with(&format!("server.admin = \"{address}\" ")));
}

#[test]
fn a_text_that_is_not_an_address_is_reported_in_one_sentence() {
    for wrong in ["", "example.org:9000", "127.0.0.1", "127.0.0.1:65536", "1.2.3.4.5:1"] {
        let error = refusal(Server::builder().listen(wrong).serve(echo_service()).start());
        assert!(error.starts_with(&format!("server.listen = \"{wrong}\" ")), "{error}");
        assert!(error.contains("expected an IP address with a port"), "{error}");
        refusal(Server::builder().admin(wrong).serve(echo_service()).start());
    }
    let elsewhere = Server::builder().listen("192.0.2.1:0").serve(echo_service()).start();
    assert!(refusal(elsewhere).contains("no interface of this host"));
}

#[test]
fn a_connection_limit_above_what_the_host_holds_is_reported_in_one_sentence() {
    let result =
        Server::builder().listen("127.0.0.1:0").connections(u32::MAX).serve(echo_service()).start();
    let error = refusal(result);
    assert!(error.starts_with("limits.connections = 4294967295 is more than this host"), "{error}");
}

/// A certificate was silently ignored by the library: a server with one served in the clear.
#[test]
fn a_certificate_without_a_key_is_refused_by_the_library_too() {
    let change = |settings: &mut Settings| settings.tls.cert = vec!["cert.pem".into()];
    let result = Server::builder().listen("127.0.0.1:0").set(change).serve(echo_service()).start();
    let error = refusal(result);
    assert!(error.starts_with("tls.key has 0 files and tls.cert has 1"), "{error}");
}

#[test]
fn a_library_serves_in_its_own_process() {
    let three = NonZeroU32::new(3).expect("not zero");
    let result = Server::builder()
        .listen("127.0.0.1:0")
        .set(move |settings| settings.server.processes = Processes::Exactly(three))
        .serve(echo_service())
        .start();
    let error = refusal(result);
    assert!(error.starts_with("server.processes = 3 is refused: a library serves"), "{error}");
}

/// `settings` after `listen` undid it: the server listened on port 9000.
#[test]
fn setters_hold_wherever_settings_are_given() {
    let mut settings = Settings::default();
    settings.server.admin = None;
    settings.limits.line_bytes = 4;
    let running = Server::builder()
        .listen("127.0.0.1:0")
        .threads(1)
        .settings(settings.clone())
        .set(|settings| settings.limits.output_bytes = 9000)
        .serve(echo_service())
        .start()
        .unwrap();
    assert_ne!(running.address().unwrap().port(), 9000);
    let used = running.control().settings();
    assert_eq!((used.limits.line_bytes, used.limits.output_bytes), (4, 9000));
    assert_eq!(used.server.threads, NonZeroU32::new(1));
}

/// A library began with the heartbeat of the binary, and its user's clients were sent a line that they did not
/// know.
#[test]
fn there_is_a_heartbeat_if_the_program_or_its_settings_ask_for_one() {
    const MINUTE: Duration = Duration::from_secs(60);
    let builder = || Server::builder().listen("127.0.0.1:0").threads(1);
    let interval = |builder: Builder| {
        let running = builder.serve(echo_service()).start().unwrap();
        running.control().settings().heartbeat.interval
    };
    assert_eq!(interval(builder()), None);
    assert_eq!(interval(builder().heartbeat(Heartbeat::every(MINUTE))), Some(MINUTE));
    let mut binary_s = Settings::default();
    binary_s.server.admin = None;
    assert_eq!(interval(builder().settings(binary_s)), Some(MINUTE / 2));
}

#[test]
fn setters_take_plain_values_and_the_last_call_holds() {
    let running = Server::builder()
        .listen("localhost:0")
        .threads(2)
        .threads(1)
        .connections(100)
        .connections_per_ip(50)
        .accept_rate(5000)
        .concurrency(64)
        .frame_max(2048)
        .line_bytes(1024)
        .output_bytes(64 * 1024)
        .buffer_bytes(64 * 1024 * 1024)
        .request_timeout(None)
        .idle_timeout(Duration::from_millis(1500))
        .line_timeout(Duration::from_secs(3))
        .write_timeout(Duration::from_secs(4))
        .drain_timeout(Duration::from_secs(5))
        .framing(Framing::Lines)
        .serve(echo_service())
        .start()
        .unwrap();
    let Settings { server, workload, limits, timeouts, .. } = running.control().settings();
    assert_eq!((server.admin, server.threads), (None, NonZeroU32::new(1)));
    assert_eq!(workload.framing, Framing::Lines);
    assert_eq!(limits.connections, NonZeroU32::new(100));
    assert_eq!(limits.connections_per_ip, NonZeroU32::new(50));
    assert_eq!(limits.accept_rate, NonZeroU32::new(5000));
    assert_eq!(limits.concurrency.get(), 64);
    assert_eq!((limits.line_bytes, limits.output_bytes), (1024, 65_536));
    assert_eq!(limits.buffer_bytes, Some(67_108_864));
    assert_eq!((timeouts.request, timeouts.idle), (None, Some(Duration::from_millis(1500))));
    assert_eq!(timeouts.line, Some(Duration::from_secs(3)));
    assert_eq!(timeouts.write, Some(Duration::from_secs(4)));
    assert_eq!(timeouts.drain, Duration::from_secs(5));
}

#[test]
fn a_value_out_of_bounds_is_reported_in_the_words_of_the_configuration() {
    let error = refusal(Server::builder().connections(0).serve(echo_service()).start());
    assert!(error.starts_with("limits.connections = \"0\" "), "{error}");
    let nanos = Duration::from_nanos(1);
    let error = refusal(Server::builder().request_timeout(nanos).serve(echo_service()).start());
    assert!(error.starts_with("timeouts.request = \"0.001us\" "), "{error}");
}

/// A `main` that returns the error printed `RunError { usage: true, message: "…" }`.
#[test]
fn debug_of_an_error_is_its_sentence() {
    let error = Server::builder().listen("nowhere").serve(echo_service()).start().unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn a_listener_that_the_caller_bound_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let running =
        Server::builder().listener(listener).threads(1).serve(echo_service()).start().unwrap();
    assert_eq!(running.address(), Some(address));
    Client::connect(address).ask("bound\n", "bound\n");

    let path = TempPath::new();
    let listener = UnixListener::bind(&path.0).unwrap();
    let running =
        Server::builder().listener(listener).threads(1).serve(echo_service()).start().unwrap();
    assert_eq!(running.address(), None);
    ask(&path.0);
    assert_eq!(running.drain().unwrap(), Outcome::Clean);
    assert!(path.0.exists(), "the file is the caller's");
}

#[tokio::test]
async fn a_listener_of_tokio_is_served() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running =
        Server::builder().listener(listener).threads(1).serve(echo_service()).start().unwrap();
    tokio::task::spawn_blocking(move || Client::connect(address).ask("tokio\n", "tokio\n"))
        .await
        .unwrap();
    assert_eq!(running.shutdown().await, Outcome::Clean);

    let path = TempPath::new();
    let listener = tokio::net::UnixListener::bind(&path.0).unwrap();
    let running =
        Server::builder().listener(listener).threads(1).serve(echo_service()).start().unwrap();
    let file = path.0.clone();
    tokio::task::spawn_blocking(move || ask(&file)).await.unwrap();
    assert_eq!(running.shutdown().await, Outcome::Clean);
}

/// Starting a server set five options on a listener that was not its own.
#[test]
fn options_of_a_caller_s_listener_change_only_on_request() {
    for configure in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = SockRef::from(&listener).try_clone().unwrap();
        let before = (own.recv_buffer_size().unwrap(), own.tcp_nodelay().unwrap());
        let _running = Server::builder()
            .listener(listener)
            .configure_listener(configure)
            .threads(1)
            .serve(echo_service())
            .start()
            .unwrap();
        let after = (own.recv_buffer_size().unwrap(), own.tcp_nodelay().unwrap());
        assert_eq!(before != after, configure, "{before:?} {after:?}");
        assert_eq!((own.keepalive().unwrap(), after.1), (configure, configure));
    }
}

#[test]
fn ipv6_is_served_too() {
    // A host without IPv6 has no such address.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let running = Server::builder().listen("[::1]:0").serve(echo_service()).start().unwrap();
    Client::connect(running.address().unwrap()).ask("six\n", "six\n");
}

#[test]
fn a_server_that_is_dropped_cuts_its_connections_and_ends_its_threads() {
    let server = echo(|_| ());
    let address = server.address;
    let mut client = server.connect();
    client.ask("here\n", "here\n");
    drop(server);
    client.expect_end("");
    // The port is free as soon as the acceptor's thread has ended.
    wait_until("the acceptor to end", || std::net::TcpStream::connect(address).is_err());
}
