//! PROXY headers: whose are believed, what becomes of the others, and where the client's address goes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, net::SocketAddr, num::NonZeroU32, time::Duration};

use support::{TestServer, echo, serve_with};
use towline::{Lines, Settings, config::ProxyMode, service_fn};
use towline_test_support::{Client, http::get};

const CLIENT: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 for a client.
fn v2(client: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(client) = client else { panic!("{client} is no IPv4 address") };
    let ports = [client.port().to_be_bytes(), [1, 2]].concat();
    [SIGNATURE, b"\x21\x11\0\x0c", &client.ip().octets(), &[198, 51, 100, 2], &ports].concat()
}

fn local() -> Vec<u8> {
    [SIGNATURE, b"\x20\0\0\0"].concat()
}

fn require(settings: &mut Settings) {
    settings.proxy_protocol.mode = ProxyMode::Require;
    settings.proxy_protocol.trusted = Some("127.0.0.1".parse().unwrap());
}

fn optional(settings: &mut Settings) {
    require(settings);
    settings.proxy_protocol.mode = ProxyMode::Optional;
}

fn closed(server: &TestServer, reason: &str) -> f64 {
    server.metrics().get(&format!("towline_connections_closed_total{{reason=\"{reason}\"}}"))
}

/// Answers every line with what the service knows of its peer.
fn tell(change: impl FnOnce(&mut Settings)) -> TestServer {
    let make = |peer: towline::Peer| {
        let proxied = peer.proxied().cloned();
        let to = proxied.and_then(|proxied| proxied.destination).map(|end| end.to_string());
        let told = format!("{peer} {}", to.unwrap_or_else(|| "-".to_owned()));
        service_fn(move |_: Lines| {
            let told = told.clone();
            async move { Ok::<_, Infallible>(Lines::from_iter([told])) }
        })
    };
    serve_with(make, change)
}

#[test]
fn the_client_of_a_header_is_the_peer_of_its_connection() {
    let server = tell(require);
    let mut client = server.connect();
    client.send([CLIENT, b"who\n"].concat());
    client.expect("192.0.2.1:56324 198.51.100.2:443\n");
    let listing = get(server.admin, "/connections").body;
    assert!(listing.contains("\"192.0.2.1:56324\""), "{listing}");
    // Byte by byte, and the line is not taken for a part of it.
    let mut slow = server.connect();
    for byte in v2("203.0.113.9:99".parse().unwrap()) {
        slow.send([byte]);
    }
    slow.ask("who\n", "203.0.113.9:99 198.51.100.2:258\n");
    // A connection of the balancer itself keeps its address.
    let mut check = server.connect();
    check.send(local());
    let own = check.local_address();
    check.ask("who\n", format!("{own} -\n"));
    // A second header is a line: the first has said whose connection it is.
    client.send(CLIENT);
    client.expect("192.0.2.1:56324 198.51.100.2:443\n");
}

#[test]
fn fault_37_a_connection_without_a_header_is_closed_and_none_of_it_is_a_line() {
    let mut expected = 0.0;
    let server = echo(require);
    let too_long = [SIGNATURE, b"\x21\x11\xff\xff"].concat();
    let lying = [SIGNATURE, b"\x21\x11\0\x0f", &[0; 12], b"\x05\xff\xff"].concat();
    let wrong_sum = [SIGNATURE, b"\x21\x11\0\x13", &[0; 12], b"\x03\0\x04abcd"].concat();
    let long_line = [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat();
    for bytes in [
        &b"hello\n"[..],
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        b"PROXY nonsense\r\nhello\n",
        &too_long,
        &lying,
        &wrong_sum,
        &long_line,
    ] {
        let mut client = server.connect();
        client.send(bytes);
        client.expect_end("");
        drop(client);
        expected += 1.0;
        server.metrics_when(|metrics| {
            metrics.get("towline_connections_closed_total{reason=\"proxy_error\"}") == expected
        });
    }
    // One that ends within its header, and one that says nothing at all.
    let mut cut = server.connect();
    cut.send(&CLIENT[..20]);
    cut.end_of_input();
    cut.expect_end("");
    drop(cut);
    let mut silent = server.connect();
    silent.end_of_input();
    silent.expect_end("");
    drop(silent);
    let metrics = server.metrics_when_empty();
    assert_eq!(closed(&server, "proxy_error"), expected + 1.0);
    assert_eq!(metrics.get("towline_lines_received_total"), 0.0);
    metrics.assert_connections_add_up();
}

#[test]
fn fault_37_a_header_of_an_untrusted_sender_changes_nothing_but_its_own_end() {
    for mode in [require as fn(&mut Settings), optional] {
        let server = tell(mode);
        let mut client = server.connect_from([127, 0, 0, 2].into());
        client.send([CLIENT, b"who\n"].concat());
        client.expect_end("");
        drop(client);
        let metrics = server.metrics_when_empty();
        assert_eq!(closed(&server, "proxy_error"), 1.0);
        assert_eq!(metrics.get("towline_lines_received_total"), 0.0);
    }
}

#[test]
fn an_optional_header_is_taken_where_it_comes() {
    let server = tell(optional);
    let mut with = server.connect();
    with.send([CLIENT, b"who\n"].concat());
    with.expect("192.0.2.1:56324 198.51.100.2:443\n");
    for source in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let mut without = server.connect_from(source.into());
        let own = without.local_address();
        without.ask("who\n", format!("{own} -\n"));
    }
}

#[test]
fn a_header_that_does_not_come_is_waited_for_until_its_deadline() {
    let short = |settings: &mut Settings| {
        settings.proxy_protocol.deadline = Duration::from_millis(50);
    };
    let server = echo(|settings| {
        require(settings);
        short(settings);
    });
    let mut late = server.connect();
    late.send(&CLIENT[..CLIENT.len() - 1]);
    late.expect_end("");
    drop(late);
    server.connect().expect_end("");
    server.metrics_when_empty();
    assert_eq!(closed(&server, "proxy_error"), 2.0);
    // Where it is optional, a client that waits for the server to speak first is served.
    let server = echo(|settings| {
        optional(settings);
        short(settings);
    });
    let mut patient = server.connect();
    server.metrics_when(|metrics| metrics.get("towline_connections{state=\"idle\"}") == 1.0);
    patient.ask("hello\n", "hello\n");
}

#[test]
fn limits_of_an_address_count_the_clients_behind_a_balancer() {
    let server = echo(|settings| {
        require(settings);
        settings.limits.connections_per_ip = NonZeroU32::new(2);
        settings.limits.deny = Some("203.0.113.0/24".parse().unwrap());
        settings.limits.allow = Some("192.0.2.0/24, 203.0.113.0/24".parse().unwrap());
    });
    let connect = |client: &str| {
        let mut connection = server.connect();
        connection.send(v2(client.parse().unwrap()));
        connection.send("in\n");
        connection
    };
    let mut open: Vec<Client> = (1..=2).map(|port| connect(&format!("192.0.2.1:{port}"))).collect();
    open.iter_mut().for_each(|client| client.expect("in\n"));
    connect("192.0.2.1:3").expect_end("");
    let mut other = connect("192.0.2.2:4");
    other.expect("in\n");
    connect("203.0.113.7:5").expect_end("");
    connect("198.51.100.7:5").expect_end("");
    server.metrics_when(|metrics| {
        metrics.get("towline_connections_closed_total{reason=\"client_refused\"}") == 3.0
    });
    drop(open);
    server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    connect("192.0.2.1:6").expect("in\n");
}

#[test]
fn a_listener_has_a_mode_of_its_own() {
    let builder = towline::Server::builder()
        .listen("127.0.0.1:0,proxy_protocol=require,127.0.0.1:0")
        .admin("127.0.0.1:0")
        .threads(1);
    let running = builder.serve(support::echo_service()).start().unwrap();
    let [behind, plain] = running.addresses()[..] else { panic!("{running:?}") };
    let mut client = Client::connect(behind);
    client.send(CLIENT);
    client.ask("in\n", "in\n");
    Client::connect(plain).ask("in\n", "in\n");
    let mut none = Client::connect(behind);
    none.send("in\n");
    none.expect_end("");
}

#[test]
fn a_reload_changes_whose_headers_are_believed_but_not_whether_they_come() {
    let server = echo(|_| ());
    let mut open = server.connect();
    open.ask("in\n", "in\n");
    let control = server.running().control();
    let mut settings = control.settings();
    settings.proxy_protocol.trusted = Some("127.0.0.0/8".parse().unwrap());
    assert_eq!(control.reload(settings.clone()).unwrap(), []);
    settings.proxy_protocol.mode = ProxyMode::Require;
    let pending = control.reload(settings).unwrap();
    assert_eq!(
        pending.len(),
        1,
        "the mode is that of the other side, which changes with a restart"
    );
    open.ask("still in\n", "still in\n");
}
