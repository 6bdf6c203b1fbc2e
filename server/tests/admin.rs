//! The admin endpoint: what it answers, what it refuses, and that its clients do not disturb lines.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;
use towline::{Args, Router, Server, protocol::Lf};
use towline_test_support::{
    Metrics, PATIENCE,
    http::{get, request},
    wait_until,
};

use support::{TestServer, echo, echo_service};

#[test]
fn health_readiness_and_configuration_are_answered() {
    let server = echo(|_| ());
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "accepting\n")] {
        let response = get(server.admin, path);
        assert_eq!((response.status, response.body.as_str()), (200, body));
    }
    let config = get(server.admin, "/config");
    assert_eq!(config.status, 200);
    assert!(config.head.contains("content-type: application/json"), "{config:?}");
    serde_json::from_str::<serde_json::Value>(&config.body).unwrap();
    let metrics = get(server.admin, "/metrics");
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{metrics:?}");
}

#[test]
fn a_full_server_is_ready_unless_it_is_told_to_fail_then() {
    let server = echo(|settings| settings.limits.connections = NonZeroU32::new(1));
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    let ready = |status, body: &str| {
        wait_until(body, || get(server.admin, "/readyz").body == body);
        assert_eq!(get(server.admin, "/readyz").status, status);
    };
    ready(200, "accepting\n");
    // The key takes effect at once.
    let control = server.running().control();
    let mut settings = control.settings();
    settings.server.ready_when_full = false;
    control.reload(settings).unwrap();
    ready(503, "full\n");
    drop(client);
    ready(200, "accepting\n");
}

#[test]
fn openmetrics_has_the_same_series_as_the_text_format() {
    let server = echo(|_| ());
    let asked = "GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text; \
                 version=1.0.0, text/plain; version=0.0.4; q=0.5\r\n\r\n";
    let open = request(server.admin, asked);
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    assert!(open.body.lines().all(|line| !line.is_empty()));
    let text = get(server.admin, "/metrics").body;
    let series = |body: &str| -> Vec<String> {
        let samples = body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series =
            samples.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.into());
        let mut series: Vec<String> = series.collect();
        series.sort();
        series
    };
    assert_eq!(series(&open.body), series(&text));
    let counters = open.body.lines().filter_map(|line| {
        line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(ToOwned::to_owned)
    });
    let counters: Vec<String> = counters.collect();
    assert!(counters.len() > 20, "{counters:?}");
    let body = format!("\n{}", open.body);
    for name in counters {
        assert!(body.contains(&format!("\n{name}_total")), "{name}");
        assert!(body.contains(&format!("\n# HELP {name} ")), "{name}");
    }
}

#[test]
fn the_live_page_loads_nothing_from_elsewhere_and_draws_what_is_exported() {
    let server = echo(|_| ());
    let page = get(server.admin, "/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html"), "{}", page.head);
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    for elsewhere in ["src=", "@import", "url(", "<link rel=\"stylesheet"] {
        assert!(!page.body.contains(elsewhere), "the page loads something: {elsewhere}");
    }
    // What it draws must be exported, by a program with a router if not by others.
    let router = Router::<Lf, ()>::new().command("PING", |_: &mut (), _: Args<'_>| "pong").timed();
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let program = TestServer::new(builder.router(router, |_conn| ()).start().unwrap());
    let metrics = get(server.admin, "/metrics").body + &get(program.admin, "/metrics").body;
    let names = page.body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for name in names.filter(|name| name.starts_with("towline_") || name.starts_with("process_")) {
        assert!(metrics.contains(name), "the page shows {name}, which is not exported");
    }
}

#[test]
fn an_unknown_path_is_answered_404_with_the_known_ones() {
    let server = echo(|_| ());
    for path in ["/nothing", "/metrics/", "/../metrics", "//metrics"] {
        let response = get(server.admin, path);
        assert_eq!(response.status, 404, "{path}");
        assert!(response.body.contains("/metrics"), "{response:?}");
    }
}

#[test]
fn methods_other_than_get_and_head_are_answered_405_with_those_allowed() {
    let server = echo(|_| ());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let asked = format!("{method} /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        let response = request(server.admin, &asked);
        assert_eq!(response.status, 405, "{method}");
        assert!(response.head.contains("allow: get, head"), "{response:?}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let server = echo(|_| ());
    let response = request(server.admin, "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert!(response.head.contains("content-length: 6"), "{response:?}");
}

#[test]
fn fault_33_a_connection_is_for_one_request_whatever_is_pipelined() {
    let server = echo(|_| ());
    let twice = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    let response = request(server.admin, &twice);
    assert_eq!((response.status, response.body.as_str()), (200, "alive\n"));
    assert!(response.head.contains("connection: close"), "{response:?}");
}

#[test]
fn fault_33_a_request_that_never_ends_is_cut() {
    let server = echo(|_| ());
    let mut slow = TcpStream::connect(server.admin).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET /metr").unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
}

#[test]
fn fault_33_huge_heads_and_garbage_are_refused_and_the_next_request_is_answered() {
    let server = echo(|_| ());
    let huge = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(256 * 1024));
    for abuse in [huge.as_bytes(), &[0xFF; 64 * 1024], b"\r\n\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(abuse);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
        assert_eq!(get(server.admin, "/healthz").status, 200);
    }
}

#[test]
fn fault_33_two_hundred_slow_clients_do_not_disturb_lines_and_leave_no_trace() {
    let server = echo(|_| ());
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(server.admin).unwrap();
            stream.write_all(b"GET /metrics HT").unwrap();
            stream
        })
        .collect();
    let mut client = server.connect();
    for _ in 0..500 {
        client.ask("undisturbed\n", "undisturbed\n");
    }
    // Although they fill the table of clients: they are evicted one after another.
    assert_eq!(get(server.admin, "/healthz").status, 200);
    drop(slow);
    assert_eq!(server.metrics().get("towline_connections_active"), 1.0);
}

/// Clients that never finish their request, and reconnect when they are cut, held all slots for two
/// seconds each: beside a thousand of them a scrape waited for sixteen seconds, and Prometheus gives up
/// after ten.
#[test]
fn fault_33_a_scrape_is_answered_beside_a_thousand_clients_that_never_finish_their_request() {
    let server = echo(|_| ());
    let admin = server.admin;
    let begin_request = move || {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(b"GET /metrics HT").unwrap();
        stream
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut slow: Vec<TcpStream> = (0..1000).map(|_| begin_request()).collect();
    let stopped = stop.clone();
    let reconnects = thread::spawn(move || {
        while !stopped.load(Relaxed) {
            for stream in &mut slow {
                let cut = !matches!(stream.read(&mut [0; 512]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock);
                if cut {
                    *stream = begin_request();
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(get(admin, "/metrics").status, 200);
        assert!(begun.elapsed() < Duration::from_secs(10), "Prometheus would have given up");
    }
    stop.store(true, Relaxed);
    reconnects.join().unwrap();
}

/// More than are served at once: the others wait in the kernel's queue.
#[test]
fn fault_33_a_thousand_scrapes_at_once_are_all_answered() {
    let server = echo(|_| ());
    let requests: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut stream = TcpStream::connect(server.admin).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for mut stream in requests {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Metrics::parse(body).assert_connections_add_up();
    }
}

/// Each rendering appends a metric of the program, so the program counts renderings.
#[test]
fn fault_33_clients_without_a_pause_share_renderings() {
    const PER_QUARTER_SECOND: u32 = 32;
    let renderings = Arc::new(AtomicU32::new(0));
    let counted = renderings.clone();
    let running = Server::builder()
        .listen("127.0.0.1:0")
        .admin("127.0.0.1:0")
        .metrics(move || format!("renderings {}\n", counted.fetch_add(1, Relaxed) + 1))
        .serve(echo_service())
        .start()
        .unwrap();
    let server = TestServer::new(running);
    let begun = Instant::now();
    let mut last = 0.0;
    for _ in 0..500 {
        let rendering = server.metrics().get("renderings");
        assert!(rendering >= last, "a page was older than the one before");
        last = rendering;
    }
    let quarters = u32::try_from(begun.elapsed().as_millis() / 250).unwrap();
    let renderings = renderings.load(Relaxed);
    assert!(renderings <= PER_QUARTER_SECOND * (quarters + 2), "{renderings} in {quarters} / 4 s");
}
