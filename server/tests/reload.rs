//! Reloads of a running server: new settings apply to open and new connections, and no line is lost.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    io::Write as _,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use support::{TestServer, echo, serve};
use tokio::sync::Notify;
use towline::{BoxError, Lines, Settings, service_fn};
use towline_test_support::{Client, http::get};

const SHORT: Option<Duration> = Some(Duration::from_millis(20));

/// Sends until every buffer is full, and reads nothing.
fn flood(client: &Client) {
    let mut stream = client.try_clone().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let flood = "ping\n".repeat(20_000);
    while stream.write_all(flood.as_bytes()).is_ok() {}
}

fn some(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// Changes the settings in force; fails if a change needs a restart.
#[track_caller]
fn reload(server: &TestServer, change: impl FnOnce(&mut Settings)) {
    let control = server.running().control();
    let mut settings = control.settings();
    change(&mut settings);
    assert_eq!(control.reload(settings).unwrap(), []);
}

/// Turns the deadlines off, so that only those of the reload apply.
fn patient(settings: &mut Settings) {
    settings.heartbeat.interval = None;
    settings.timeouts.line = None;
    settings.timeouts.write = None;
}

#[test]
fn fault_29_a_reload_reaches_the_deadlines_of_connections_that_are_parked_already() {
    // Each connection is parked in the state to which the deadline of the reload applies.
    let server = echo(patient);
    let mut idle = server.connect();
    idle.ask("a\n", "a\n");
    reload(&server, |settings| settings.timeouts.idle = SHORT);
    idle.expect_end("");

    let server = echo(patient);
    let mut half = server.connect();
    half.ask("a\nhalf", "a\n");
    reload(&server, |settings| settings.timeouts.line = SHORT);
    half.expect_end("");

    let server = echo(patient);
    let mut silent = server.connect();
    silent.ask("a\n", "a\n");
    reload(&server, |settings| settings.heartbeat.interval = SHORT);
    silent.expect("ping\n");
    silent.send("pong\n");
    reload(&server, |settings| settings.heartbeat.timeout = Duration::from_millis(20));
    let rest = silent.rest();
    assert!(rest.chunks(5).all(|line| line == b"ping\n"), "{rest:?}");

    let server = echo(patient);
    let stuck = server.connect();
    flood(&stuck);
    reload(&server, |settings| settings.timeouts.write = SHORT);
    server.metrics_when(|metrics| {
        metrics.get("towline_connections_closed_total{reason=\"write_timeout\"}") == 1.0
    });
}

#[test]
fn fault_29_deadlines_that_are_turned_off_close_no_connection() {
    let server = echo(|settings| {
        patient(settings);
        settings.heartbeat.interval = SHORT;
        settings.heartbeat.timeout = Duration::from_secs(3600);
    });
    let mut client = server.connect();
    client.expect("ping\n");
    reload(&server, |settings| settings.heartbeat.interval = None);
    // A ping that was unanswered when pings were turned off has no effect any more.
    reload(&server, |settings| settings.heartbeat.timeout = Duration::ZERO);
    client.ask("still here\n", "still here\n");
    client.expect_silence(Duration::from_millis(200));
}

#[test]
fn fault_29_the_line_limit_changes_for_open_connections() {
    let server = echo(|settings| settings.limits.line_bytes = 4);
    let mut client = server.connect();
    client.ask("1234\n", "1234\n");
    reload(&server, |settings| settings.limits.line_bytes = 8);
    // A shard applies a change before it checks for more input, so one exchange is enough.
    client.ask("a\n", "a\n");
    client.ask("12345678\n", "12345678\n");
    reload(&server, |settings| settings.limits.line_bytes = 2);
    let mut client = server.connect();
    client.send("12345678\n");
    client.expect_end("ERR line too long\n");

    let config = get(server.admin, "/config").body;
    assert!(
        config.contains(r#""limits.line_bytes":{"origin":"program","value":"2B"}"#),
        "{config}"
    );
}

#[test]
fn fault_29_a_changed_connection_limit_applies_at_once_and_closes_no_connection() {
    let server = echo(|settings| {
        settings.limits.connections = NonZeroU32::new(2);
        settings.limits.admission = towline_config::Admission::Reject;
    });
    let mut open = [server.connect(), server.connect()];
    for client in &mut open {
        client.ask("a\n", "a\n");
    }
    server.connect().expect_end("ERR too many connections\n");
    reload(&server, |settings| settings.limits.connections = NonZeroU32::new(3));
    let mut third = server.connect();
    third.ask("a\n", "a\n");
    reload(&server, |settings| settings.limits.connections = NonZeroU32::new(1));
    assert_eq!(server.metrics().get("towline_connections_limit"), 1.0);
    server.connect().expect_end("ERR too many connections\n");
    third.ask("still here\n", "still here\n");
}

#[test]
fn fault_29_a_connection_that_waits_at_a_limit_is_rejected_or_accepted_when_the_limit_changes() {
    let server = echo(|settings| settings.limits.connections = NonZeroU32::new(1));
    let mut served = server.connect();
    served.ask("a\n", "a\n");
    let mut waiting = server.connect();
    waiting.expect_silence(Duration::from_millis(50));
    reload(&server, |settings| settings.limits.admission = towline_config::Admission::Reject);
    waiting.expect_end("ERR too many connections\n");

    reload(&server, |settings| settings.limits.admission = towline_config::Admission::Wait);
    let mut waiting = server.connect();
    waiting.expect_silence(Duration::from_millis(50));
    reload(&server, |settings| settings.limits.connections = NonZeroU32::new(2));
    waiting.ask("a\n", "a\n");
}

#[test]
fn fault_29_a_limit_the_host_does_not_allow_changes_nothing() {
    let server = echo(|settings| settings.limits.connections = NonZeroU32::new(5));
    let control = server.running().control();
    let mut settings = control.settings();
    settings.limits.connections = NonZeroU32::new(u32::MAX);
    settings.limits.line_bytes = 1;
    let error = control.reload(settings).unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().starts_with("limits.connections = 4294967295 is more"), "{error}");
    assert_eq!(control.settings().limits.line_bytes, 64 * 1024);
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_connections_limit"), 5.0);
    assert_eq!(metrics.get("towline_config_reloads_total{result=\"error\"}"), 1.0);
    assert_eq!(metrics.get("towline_config_reloads_total{result=\"ok\"}"), 0.0);
    assert_eq!(metrics.get("towline_config_last_reload_successful"), 0.0);
    reload(&server, |settings| settings.limits.line_bytes = 1000);
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_config_reloads_total{result=\"ok\"}"), 1.0);
    assert_eq!(metrics.get("towline_config_last_reload_successful"), 1.0);
}

#[test]
fn fault_29_a_change_that_needs_a_restart_is_returned_and_the_others_apply() {
    let server = echo(|_| ());
    let control = server.running().control();
    let mut settings = control.settings();
    settings.server.backlog = 17;
    settings.limits.connections = NonZeroU32::new(7);
    let pending = control.reload(settings).unwrap();
    let pending: Vec<_> = pending.iter().map(ToString::to_string).collect();
    assert_eq!(pending, ["server.backlog = 17 takes effect on restart: it is still 65535"]);
    assert_eq!(control.settings().server.backlog, 65_535);
    assert_eq!(server.metrics().get("towline_connections_limit"), 7.0);
}

/// An echo that holds each batch until `go` is notified.
fn held(
    go: &Arc<Notify>,
) -> impl tower::Service<Lines, Response = Lines, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let go = go.clone();
    service_fn(move |lines: Lines| {
        let go = go.clone();
        async move {
            go.notified().await;
            Ok::<_, BoxError>(lines)
        }
    })
}

#[test]
fn fault_29_a_line_in_service_finishes_under_the_settings_it_started_with() {
    let go = Arc::new(Notify::new());
    let server = serve(held(&go), |settings| settings.timeouts.request = None);
    let mut client = server.connect();
    client.send("one\n");
    server.metrics_when(|metrics| metrics.get("towline_connections{state=\"service\"}") == 1.0);
    reload(&server, |settings| settings.timeouts.request = SHORT);
    client.expect_silence(Duration::from_millis(200));
    go.notify_one();
    client.expect("one\n");
    client.ask("two\n", "ERR timeout\n");
}

#[test]
fn fault_29_concurrency_and_overload_change_while_batches_wait() {
    let go = Arc::new(Notify::new());
    let server = serve(held(&go), |settings| {
        settings.timeouts.request = None;
        settings.limits.concurrency = some(1);
    });
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("a\n");
    }
    let waiting = |count: f64| {
        server.metrics_when(|metrics| {
            metrics.get("towline_connections{state=\"limit_wait\"}") == count
        })
    };
    waiting(2.0);
    reload(&server, |settings| settings.limits.concurrency = some(2));
    let metrics = waiting(1.0);
    assert_eq!(metrics.get("towline_concurrency_limit"), 2.0);
    assert_eq!(metrics.get("towline_concurrency_in_use"), 2.0);
    reload(&server, |settings| {
        settings.limits.concurrency = some(1);
        settings.limits.overload = towline_config::Overload::Shed;
    });
    // Two permits are in use under a limit of one. A new batch meets the new settings; the waiting ones
    // started under the old ones.
    server.connect().ask("b\n", "ERR overloaded\n");
    for _ in 0..3 {
        go.notify_one();
    }
    for client in &mut clients {
        client.expect("a\n");
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_concurrency_limit"), 1.0);
    assert_eq!(metrics.get("towline_concurrency_in_use"), 0.0);
}

/// 2,000 reloads under load: every line is answered, in order and whole.
#[test]
fn fault_29_reloads_under_load_lose_no_line_and_the_last_settings_are_in_force() {
    let server = echo(|settings| settings.server.threads = NonZeroU32::new(2));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = [1, 7, 300]
        .map(|pipelined| {
            let (mut client, stop) = (server.connect(), stop.clone());
            thread::spawn(move || {
                let mut lines = 0_usize;
                while !stop.load(SeqCst) {
                    let batch: String =
                        (lines..lines + pipelined).map(|n| format!("{n}\n")).collect();
                    client.ask(&batch, &batch);
                    lines += pipelined;
                }
                lines
            })
        })
        .into();
    for round in 1..=2000_u32 {
        reload(&server, |settings| {
            settings.timeouts.request = (round % 2 == 0).then_some(Duration::from_secs(5));
            settings.timeouts.idle = (round % 3 == 0).then_some(Duration::from_secs(60));
            settings.flush.policy = match round % 4 {
                0 => towline_config::FlushPolicy::Auto,
                1 => towline_config::FlushPolicy::Line,
                lines => towline_config::FlushPolicy::Every(some(lines)),
            };
            settings.limits.concurrency = some(4 + round % 50);
            settings.limits.output_bytes = 1000 + round as usize;
            settings.heartbeat.interval = Some(Duration::from_secs(u64::from(30 + round % 7)));
        });
        if round % 100 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    stop.store(true, SeqCst);
    for client in clients {
        assert!(client.join().unwrap() > 0);
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_config_reloads_total{result=\"ok\"}"), 2000.0);
    assert_eq!(metrics.get("towline_concurrency_limit"), 4.0);
    assert_eq!(metrics.get("towline_concurrency_in_use"), 0.0);
    // One series, with the current labels: earlier ones are gone.
    let mut infos = metrics.names();
    infos.retain(|name| name.starts_with("towline_config_info"));
    assert_eq!(infos, ["towline_config_info{workload=\"echo\",framing=\"batch\",flush=\"auto\"}"]);
}
