//! Several listeners of one server, and the options of each.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::PathBuf,
    process,
};

use support::echo_service;
use towline::{RunError, Running, Server};
use towline_test_support::{Client, PATIENCE, http::scrape, wait_until};

fn start(listen: &str) -> Result<Running, RunError> {
    let builder = Server::builder().listen(listen).admin("127.0.0.1:0").threads(1);
    builder.serve(echo_service()).start()
}

fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("towline-{name}-{}.sock", process::id()))
}

fn ask(path: &std::path::Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"over a file\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"over a file\n");
}

#[test]
fn each_address_of_a_list_is_served_and_counted() {
    let path = socket_path("listeners");
    let text = format!("127.0.0.1:0,name=first, 127.0.0.1:0 ,unix:{},mode=640", path.display());
    let running = start(&text.replace(" ,", ",")).unwrap();
    let [first, second] = running.addresses()[..] else { panic!("{running:?}") };
    assert_ne!(first, second);
    Client::connect(first).ask("one\n", "one\n");
    Client::connect(second).ask("two\n", "two\n");
    ask(&path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let metrics = scrape(running.admin_address().unwrap());
    for listener in ["first", "127.0.0.1:0", &format!("unix:{}", path.display())] {
        // The address of the second has its real port.
        let listener = if listener.ends_with(":0") { second.to_string() } else { listener.into() };
        let series = format!(
            "towline_listener_connections_total{{listener=\"{listener}\",result=\"accepted\"}}"
        );
        assert_eq!(metrics.get(&series), 1.0, "{series}");
    }
    running.drain().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_listener_has_a_limit_of_connections_of_its_own() {
    let running = start("127.0.0.1:0,connections=2,127.0.0.1:0").unwrap();
    let [limited, free] = running.addresses()[..] else { panic!("{running:?}") };
    let mut open: Vec<_> = (0..2).map(|_| Client::connect(limited)).collect();
    open.iter_mut().for_each(|client| client.ask("in\n", "in\n"));
    Client::connect(limited).expect_end("ERR too many connections\n");
    Client::connect(free).ask("in\n", "in\n");
    drop(open);
    wait_until("the slots to be free", || running.connections() == 0);
    Client::connect(limited).ask("again\n", "again\n");
}

#[test]
fn both_families_listen_on_one_port_apart() {
    // A host without IPv6 has no such address.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let free = TcpListener::bind("[::]:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let running = start(&format!("[::]:{port},0.0.0.0:{port}")).unwrap();
    let addresses = running.addresses();
    assert!(addresses[0].is_ipv6() && addresses[1].is_ipv4(), "{addresses:?}");
    Client::connect(([127, 0, 0, 1], port).into()).ask("four\n", "four\n");
    Client::connect(format!("[::1]:{port}").parse().unwrap()).ask("six\n", "six\n");
}

#[test]
fn the_owner_of_a_unix_socket_is_set_by_name_or_number() {
    // Without privilege, a file can be given to oneself only.
    let own = fs::metadata("/proc/self").unwrap();
    let path = socket_path("owner");
    let text = format!("unix:{},owner={},group={}", path.display(), own.uid(), own.gid());
    let running = start(&text).unwrap();
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.uid(), file.gid()), (own.uid(), own.gid()));
    running.drain().unwrap();
    let error = start(&format!("unix:{},owner=no-such-user", path.display())).unwrap_err();
    assert!(error.to_string().ends_with("there is no user no-such-user"), "{error}");
    assert!(!path.exists());
}
