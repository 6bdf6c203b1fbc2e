//! Servers on the stage of the test kit.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use towline::{
    Action, ActionOf, Args, BoxError, Close, CloseReason, Cx, Deferred, FrameOf, Heartbeat, Lines,
    Outcome, Refused, Router, Server, Session,
    protocol::{CrLf, Length, Lf},
    service_fn,
    test::{self, Stage},
};

const SECOND: Duration = Duration::from_secs(1);

fn echo() -> Server {
    Server::builder().serve(service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) }))
}

/// Says `hello`, echoes, and tells of its end.
struct Guest(Arc<Mutex<Vec<CloseReason>>>);

impl Session for Guest {
    type Protocol = CrLf;

    fn on_open(&mut self, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        cx.reply("hello")
    }

    fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        match line {
            b"quit" => cx.close("bye"),
            b"panic" => panic!("as it was told"),
            b"never" => Action::Deferred(Deferred::new(std::future::pending::<&str>())),
            b"wait" => Action::Deferred(Deferred::new(async {
                tokio::time::sleep(SECOND).await;
                "waited"
            })),
            line => cx.reply(String::from_utf8_lossy(line)),
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        cx.close("going down")
    }

    fn on_close(self, reason: CloseReason) {
        self.0.lock().unwrap().push(reason);
    }
}

fn guests() -> (Server, Arc<Mutex<Vec<CloseReason>>>) {
    let ended = Arc::<Mutex<_>>::default();
    let shared = ended.clone();
    (Server::builder().threads(1).sessions(move |_| Guest(shared.clone())), ended)
}

/// The message of the panic of `future`.
async fn panics<T>(future: impl Future<Output = T>) -> String {
    let mut future = Box::pin(future);
    let panicked = std::future::poll_fn(|cx| {
        let polled = AssertUnwindSafe(|| future.as_mut().poll(cx));
        match std::panic::catch_unwind(polled) {
            Ok(polled) => polled.map(|_| None),
            Err(panicked) => std::task::Poll::Ready(Some(panicked)),
        }
    });
    *panicked.await.expect("it panics").downcast::<String>().unwrap()
}

async fn guests_come_and_go(stage: Stage, ended: Arc<Mutex<Vec<CloseReason>>>) {
    let mut ann = stage.connect().await;
    ann.expect("hello").await;
    ann.chop(1);
    ann.send("one");
    ann.send("wait");
    ann.send("two");
    ann.expect("one").await;
    ann.expect("waited").await;
    assert_eq!(ann.expect_like("t*").await, "two");
    ann.send("quit");
    ann.send("unheard");
    ann.expect("bye").await;
    assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);
    assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);

    let mut bob = stage.connect().await;
    bob.expect("hello").await;
    bob.send("half");
    bob.half_close();
    bob.expect_raw("half\r\n").await;
    assert_eq!(bob.is_closed().await, CloseReason::PeerEof);

    let mut eve = stage.connect().await;
    eve.expect("hello").await;
    eve.send_raw("smuggled\n");
    eve.expect_like("500 malformed*").await;
    assert_eq!(eve.is_closed().await, CloseReason::Malformed);

    let mut dan = stage.connect().await;
    dan.expect("hello").await;
    dan.send("never");
    dan.expect_nothing(SECOND / 10).await;
    dan.reset();
    assert_eq!(dan.is_closed().await, CloseReason::PeerReset);

    let mut zoe = stage.connect().await;
    zoe.expect("hello").await;
    let (outcome, ()) = tokio::join!(stage.drain(), async {
        zoe.expect("going down").await;
        assert_eq!(zoe.is_closed().await, CloseReason::Drain);
    });
    assert_eq!(outcome, Outcome::Clean);
    let reasons = [
        CloseReason::ServiceClose,
        CloseReason::PeerEof,
        CloseReason::Malformed,
        CloseReason::PeerReset,
        CloseReason::Drain,
    ];
    assert_eq!(*ended.lock().unwrap(), reasons);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_met_in_memory() {
    let (server, ended) = guests();
    guests_come_and_go(test::stage(server), ended).await;
}

#[tokio::test]
async fn the_same_sessions_are_met_over_sockets() {
    let (server, ended) = guests();
    guests_come_and_go(Stage::over_tcp(server), ended).await;
}

#[tokio::test(start_paused = true)]
async fn deadlines_and_pings_come_to_the_millisecond() {
    let server = Server::builder()
        .heartbeat(Heartbeat::every(30 * SECOND))
        .line_timeout(5 * SECOND)
        .serve(service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) }));
    let stage = test::stage(server);
    let mut silent = stage.connect().await;
    // Pings are spread by a tenth.
    silent.expect_nothing(27 * SECOND).await;
    silent.expect("ping").await;
    silent.expect_nothing(9 * SECOND).await;
    stage.advance(2 * SECOND).await;
    assert_eq!(silent.is_closed().await, CloseReason::HeartbeatTimeout);
    let mut slow = stage.connect().await;
    slow.trickle("slow", SECOND).await;
    slow.expect_nothing(SECOND / 2).await;
    stage.advance(SECOND).await;
    assert_eq!(slow.is_closed().await, CloseReason::ReadTimeout);
    assert_eq!(stage.metric("towline_connections_closed_total{reason=\"read_timeout\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_meets_back_pressure_and_the_write_timeout() {
    let server = Server::builder().output_bytes(4096).write_timeout(10 * SECOND);
    let server = server.serve(service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) }));
    let stage = test::stage(server);
    let mut stuck = stage.connect().await;
    stuck.stall();
    for _ in 0..100 {
        stuck.send([b'x'; 1000]);
    }
    stage.advance(SECOND).await;
    assert!(stuck.unsent() > 50_000, "{} bytes are unsent", stuck.unsent());
    stuck.resume();
    for _ in 0..100 {
        stuck.expect(&[b'x'; 1000]).await;
    }
    stuck.stall();
    stuck.send("never read");
    stage.advance(11 * SECOND).await;
    assert_eq!(stuck.is_closed().await, CloseReason::WriteTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_panic_a_failure_and_a_refusal_have_their_reasons() {
    let (server, ended) = guests();
    let stage = test::stage(server);
    let mut client = stage.connect().await;
    client.expect("hello").await;
    client.send("panic");
    assert_eq!(client.is_closed().await, CloseReason::ServicePanic);
    assert_eq!(*ended.lock().unwrap(), [CloseReason::ServicePanic]);

    let fails = service_fn(|_: Lines| async { Err::<Lines, BoxError>("no luck".into()) });
    let stage = test::stage(Server::builder().serve(fails));
    let mut client = stage.connect().await;
    client.send("x");
    assert_eq!(client.is_closed().await, CloseReason::ServiceError);
    assert!(format!("{client:?}").contains("the service failed: no luck"), "{client:?}");

    let address = ([192, 0, 2, 7], 4444).into();
    let refuses = Server::builder().sessions(move |conn| {
        assert_eq!(conn.address(), Some(address));
        Err::<Guest, _>(Refused("not you"))
    });
    let stage = test::stage(refuses);
    let mut client = stage.connect_as(address).await;
    client.expect_like("* not you").await;
    assert_eq!(client.is_closed().await, CloseReason::ServiceClose);

    let panics = Server::builder().sessions(|_| -> Guest { panic!("no session") });
    let stage = test::stage(panics);
    assert_eq!(stage.connect().await.is_closed().await, CloseReason::ServicePanic);
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_at_its_deadline_what_does_not_end() {
    let never = service_fn(|_: Lines| std::future::pending::<Result<Lines, Infallible>>());
    let server = Server::builder().request_timeout(None).drain_timeout(5 * SECOND).serve(never);
    let stage = test::stage(server);
    let (mut hangs, mut idle) = (stage.connect().await, stage.connect().await);
    hangs.send("x");
    stage.advance(SECOND).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(stage.drain().await, Outcome::Cut(1));
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(hangs.is_closed().await, CloseReason::Shutdown);
    assert_eq!(idle.is_closed().await, CloseReason::Drain);
}

#[tokio::test(start_paused = true)]
async fn an_expectation_that_fails_shows_where_and_all_that_was_said() {
    let stage = test::stage(echo());
    let mut client = stage.connect().await;
    client.send("one");
    stage.advance(SECOND).await;
    client.send("two \x1b");
    let said = panics(async {
        client.expect("one").await;
        client.expect("2").await;
    });
    let said = said.await;
    assert!(said.starts_with("server/tests/stage.rs:"), "{said}");
    let expected = ": expected the line \"2\", but the server said \"two \\u{1b}\"\n     \
         0.000 C: one\n     0.000 S: one\n     1.000 C: two \\u{1b}\n     1.000 S: two \\u{1b}\n";
    assert!(said.ends_with(expected), "{said}");

    let silence = panics(client.expect_like("a*")).await;
    assert!(silence.contains("a line like \"a*\", but nothing more came for 20s"), "{silence}");
    client.send("three");
    let more = panics(client.expect_nothing(SECOND)).await;
    assert!(
        more.contains("nothing, but the server said something else\nunread: \"three\\n\""),
        "{more}"
    );
    let other = panics(client.expect_raw("threw")).await;
    assert!(other.contains("expected \"threw\", but the server said something else"), "{other}");
    client.half_close();
    let unread = panics(client.is_closed()).await;
    assert!(
        unread.contains("the end of the connection, but the server said something"),
        "{unread}"
    );
    client.expect("three").await;
    let end = panics(client.expect("four")).await;
    assert!(end.contains("\"four\", but the server closed the connection"), "{end}");
    assert_eq!(client.is_closed().await, CloseReason::PeerEof);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_without_lines_is_spoken_in_bytes() {
    let verbs = Router::<Length<1>, ()>::new()
        .command("PING", |(): &mut (), _: Args<'_>| "PONG")
        .command("QUIT", |(): &mut (), _: Args<'_>| Close("bye"));
    let stage = test::stage(Server::builder().router(verbs, |_| ()));
    let mut client = stage.connect().await;
    client.send_raw("\x04PING\x04QU");
    client.expect_raw("\x04PONG").await;
    client.send_raw("IT");
    client.expect_raw("\x03bye").await;
    assert_eq!(client.is_closed().await, CloseReason::ServiceClose);
    let mut client = stage.connect().await;
    let said = panics(client.expect("PONG")).await;
    assert!(said.contains("the protocol has no lines: use expect_raw"), "{said}");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the server cannot be staged: the router is refused")]
async fn a_router_that_is_refused_is_a_panic_of_the_stage() {
    let twice = Router::<Lf, ()>::new()
        .command("A", |(): &mut (), _: Args<'_>| "a")
        .command("a", |(): &mut (), _: Args<'_>| "a");
    test::stage(Server::builder().router(twice, |_| ()));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "limits.connections = 1: as many clients are connected")]
async fn one_client_more_than_the_limit_is_a_panic() {
    let server = Server::builder().connections(1).sessions(|_| Guest(Arc::default()));
    let stage = test::stage(server);
    let _first = stage.connect().await;
    stage.connect().await;
}

#[tokio::test(start_paused = true)]
async fn metrics_are_those_of_the_exporter() {
    let stage = test::stage(echo());
    let mut client = stage.connect().await;
    client.send("a\nb");
    client.expect("a").await;
    client.expect("b").await;
    let read = stage.metric("towline_lines_processed_total{result=\"ok\"}");
    assert_eq!((read, stage.metric("towline_connections_active")), (2.0, 1.0));
    assert!(stage.metrics().contains("# TYPE towline_connections_active gauge"));
    let missing = panics(async { stage.metric("towline_lines_processed_total") }).await;
    assert!(missing.contains("towline_lines_processed_total{result=\"shed\"} 0"), "{missing}");

    let commands = Router::<Lf, ()>::new().command("PING", |(): &mut (), _: Args<'_>| "PONG");
    let stage = test::stage(Server::builder().router(commands, |_| ()));
    let mut client = stage.connect().await;
    client.send("ping");
    client.expect("PONG").await;
    let counted = "towline_commands_total{command=\"PING\",result=\"ok\"}";
    assert_eq!(stage.metric(counted), 1.0);
}
