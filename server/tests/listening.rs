//! Where a server listens, what it leaves behind, and what it refuses to start with.

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
};

use support::{Client, PATIENCE, echo, echo_service};
use towline::{Outcome, RunError, Running, Server, Settings};
use towline_config::Listen;

/// A path that is free, and is so again when the test is over.
struct TempPath(PathBuf);

impl TempPath {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("towline-{}-{}.sock", process::id(), COUNT.fetch_add(1, Relaxed));
        // A socket's path is short by law, so not below the target directory.
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn start_on(path: &Path) -> Result<Running, RunError> {
    let path = path.to_owned();
    Server::builder()
        .set(|settings| settings.server.listen = Listen::Unix(path))
        .set(|settings| settings.server.threads = NonZeroU32::new(1))
        .serve(echo_service())
        .start()
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
    assert_eq!(server.drain(), Outcome::Clean);
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
fn a_unix_socket_that_somebody_listens_on_is_refused_and_left_alone() {
    let path = TempPath::new();
    let first = start_on(&path.0).unwrap();
    let told = refusal(start_on(&path.0));
    assert!(told.contains("in use"), "{told}");
    ask(&path.0);
    drop(first);
}

/// Connecting to a file that is no socket is refused by the kernel just as connecting to a socket
/// nobody listens on, so a mistyped path deleted whatever file was there.
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
    let told = refusal(start_on(&path.0));
    assert!(told.contains("in use"), "{told}");
}

#[test]
fn an_address_in_use_is_told_in_one_sentence() {
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
fn what_is_no_address_is_told_in_one_sentence() {
    for wrong in ["", "localhost:9000", "127.0.0.1", "127.0.0.1:65536", "1.2.3.4.5:1"] {
        let told = refusal(Server::builder().listen(wrong).serve(echo_service()).start());
        assert!(told.starts_with(&format!("listen = \"{wrong}\" is no address, ")), "{told}");
        refusal(Server::builder().admin(wrong).serve(echo_service()).start());
    }
    let elsewhere = Server::builder().listen("192.0.2.1:0").serve(echo_service()).start();
    assert!(refusal(elsewhere).contains("no interface of this host"));
}

#[test]
fn a_connection_limit_above_what_the_host_holds_is_told_in_one_sentence() {
    let result = Server::builder()
        .listen("127.0.0.1:0")
        .set(|settings| settings.limits.connections = NonZeroU32::new(u32::MAX))
        .serve(echo_service())
        .start();
    let told = refusal(result);
    assert!(told.starts_with("limits.connections = 4294967295 is more than this host"), "{told}");
}

/// Settings of features that are not built were refused from a file and silently dropped when the
/// library was told them: a server with a certificate served in the clear.
#[test]
fn a_setting_whose_feature_is_not_built_is_refused_by_the_library_too() {
    type Change = fn(&mut Settings);
    let changes: [(&str, Change); 2] = [
        ("tls.cert", |settings| settings.tls.cert = Some("cert.pem".into())),
        ("proxy_protocol.mode", |settings| {
            settings.proxy_protocol.mode = towline_config::ProxyMode::Require;
        }),
    ];
    for (key, change) in changes {
        let result =
            Server::builder().listen("127.0.0.1:0").set(change).serve(echo_service()).start();
        let told = refusal(result);
        assert!(told.starts_with(key) && told.contains("not built"), "{told}");
    }
}

#[test]
fn a_library_serves_in_its_own_process() {
    let three = std::num::NonZeroU32::new(3).expect("not zero");
    let result = Server::builder()
        .listen("127.0.0.1:0")
        .set(|settings| settings.server.processes = towline_config::Processes::Exactly(three))
        .serve(echo_service())
        .start();
    let told = refusal(result);
    assert!(told.starts_with("server.processes = 3 is refused: a library serves"), "{told}");
}

#[test]
fn ipv6_is_served_too() {
    // A host without IPv6 has nothing to serve there.
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
    // The port is free again, as soon as its thread has let go of it.
    let until = tokio::time::Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(tokio::time::Instant::now() < until, "it still accepts");
    }
}
