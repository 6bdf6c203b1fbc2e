//! A server in the caller's own runtime: the settings, sessions and routers of any other.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    future::pending,
    net::SocketAddr,
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use support::echo_service;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::{Instant, timeout},
};
use towline::{
    ActionOf, Args, BoxError, Builder, Close, Cx, FrameOf, Lines, Outcome, Router, Server, Session,
    drain, protocol::Lf, service_fn,
};
use towline_test_support::PATIENCE;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), question: &str, expected: &str) {
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

async fn end(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    String::from_utf8(rest).unwrap()
}

/// Only services of lines with the default settings could be served in a runtime of the program's.
#[tokio::test]
async fn a_router_is_served_with_the_settings_of_its_builder() {
    let commands = Router::<Lf, u32>::new()
        .command("NEXT", |count: &mut u32, _: Args<'_>| {
            *count += 1;
            *count
        })
        .command("QUIT", |_: &mut u32, _: Args<'_>| Close("bye"));
    let (listener, address) = listener().await;
    tokio::spawn(Server::builder().frame_max(8).router(commands, |_conn| 0).run_on(listener));
    let mut first = TcpStream::connect(address).await.unwrap();
    ask(&mut first, "NEXT\nNEXT\n", "1\n2\n").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    ask(&mut second, "NEXT\nQUIT\n", "1\nbye\n").await;
    first.write_all(b"NEXT after NEXT\n").await.unwrap();
    assert_eq!(end(&mut first).await, "ERR line too long\n");
}

#[tokio::test]
async fn sessions_are_served_over_a_unix_socket_and_say_last_words() {
    struct Greeter;
    impl Session for Greeter {
        type Protocol = Lf;

        fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.reply("hello")
        }

        fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            assert_ne!(line, b"panic", "as the line said");
            cx.reply(line)
        }

        fn on_drain(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.close("going down")
        }
    }
    let folder = std::env::temp_dir().join(format!("towline-run-on-{}", std::process::id()));
    let listener = UnixListener::bind(&folder).unwrap();
    let (signal, watch) = drain::channel();
    let server = Server::builder().sessions(|_conn| Greeter);
    let serving = tokio::spawn(server.run_on_until(listener, watch));
    let mut client = UnixStream::connect(&folder).await.unwrap();
    let mut other = UnixStream::connect(&folder).await.unwrap();
    std::fs::remove_file(&folder).unwrap();
    ask(&mut client, "a\n", "hello\na\n").await;
    ask(&mut other, "panic\n", "hello\n").await;
    signal.drain();
    ask(&mut client, "", "going down\n").await;
    drop((client, other));
    let outcome = timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
    assert_eq!(outcome, Outcome::Clean);
}

/// A drain in a runtime of the program's waited for a call that never ends.
#[tokio::test]
async fn a_drain_cuts_what_is_left_at_its_deadline() {
    let (began, mut begun) = tokio::sync::mpsc::channel(1);
    let hangs = service_fn(move |lines: Lines| {
        let began = began.clone();
        async move {
            if lines.as_bytes() == b"hang\n" {
                began.send(()).await?;
                pending::<()>().await;
            }
            Ok::<_, BoxError>(lines)
        }
    });
    let (listener, address) = listener().await;
    let (signal, watch) = drain::channel();
    let server = Server::builder()
        .request_timeout(None)
        .half_close_timeout(None)
        .drain_timeout(Duration::from_millis(50));
    let serving = tokio::spawn(server.serve(hangs).run_on_until(listener, watch));
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle, "a\n", "a\n").await;
    let mut stuck = TcpStream::connect(address).await.unwrap();
    ask(&mut stuck, "b\n", "b\n").await;
    stuck.write_all(b"hang\n").await.unwrap();
    begun.recv().await.unwrap();

    signal.drain();
    assert_eq!(end(&mut idle).await, "");
    drop(idle);
    let mut rest = Vec::new();
    // Nothing of the call is answered, whether the cut looks like an end or a reset.
    let _ = timeout(PATIENCE, stuck.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    let outcome = timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
    assert_eq!(outcome, Outcome::Cut(1));
}

#[tokio::test]
async fn connections_that_outlive_the_future_are_drained_all_the_same() {
    let (listener, address) = listener().await;
    let (signal, watch) = drain::channel();
    let serving = tokio::spawn(towline::serve_until(listener, echo_service(), watch));
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream, "before\n", "before\n").await;
    serving.abort();
    let _ = serving.await;
    signal.drain();
    assert_eq!(end(&mut stream).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_full_server_shortens_its_idle_timeout() {
    const IDLE: Duration = Duration::from_secs(1000);
    let (listener, address) = listener().await;
    let server = Server::builder().connections(4).idle_timeout(IDLE).serve(echo_service());
    tokio::spawn(server.run_on(listener));
    let begun = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"a\n").await.unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "a\n");
    }
    // By the paused clock.
    assert!(begun.elapsed() < IDLE / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_only_threads_of_its_own_have_is_refused() {
    async fn refusal(builder: Builder) -> String {
        let (listener, _) = listener().await;
        let error = builder.serve(echo_service()).run_on(listener).await.unwrap_err();
        assert!(error.is_usage());
        error.to_string()
    }
    let error = refusal(Server::builder().threads(2)).await;
    assert!(error.starts_with("server.threads = 2 is refused: "), "{error}");
    let error = refusal(Server::builder().admin("127.0.0.1:0")).await;
    assert!(error.starts_with("server.admin = \"127.0.0.1:0\" is refused: "), "{error}");
    let error = refusal(Server::builder().metrics(String::new)).await;
    assert!(error.starts_with("a function that renders metrics is refused: "), "{error}");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refusal(Server::builder().listener(other)).await;
    assert!(error.starts_with("a listener given to the builder is refused: "), "{error}");
    let error = refusal(Server::builder().connections(0)).await;
    assert!(error.starts_with("limits.connections = \"0\" "), "{error}");
}

#[tokio::test]
async fn a_refused_setting_is_an_io_error_of_the_same_words_where_one_is_expected() {
    let (listener, _) = listener().await;
    let refused = Server::builder().threads(2).serve(echo_service()).run_on(listener).await;
    let error = refused.unwrap_err();
    let words = error.to_string();
    let error = std::io::Error::from(error);
    assert_eq!((error.kind(), error.to_string()), (std::io::ErrorKind::InvalidInput, words));
}

#[tokio::test]
async fn a_panic_while_a_service_is_made_ends_that_connection_only() {
    let (listener, address) = listener().await;
    let made = Arc::new(AtomicUsize::new(0));
    let server = Server::builder().serve_with(move |_peer| {
        assert_ne!(made.fetch_add(1, SeqCst), 1, "the second connection finds a bug");
        echo_service()
    });
    tokio::spawn(server.run_on(listener));
    let mut first = TcpStream::connect(address).await.unwrap();
    ask(&mut first, "first\n", "first\n").await;
    assert_eq!(end(&mut TcpStream::connect(address).await.unwrap()).await, "");
    ask(&mut first, "still here\n", "still here\n").await;
    ask(&mut TcpStream::connect(address).await.unwrap(), "third\n", "third\n").await;
}
