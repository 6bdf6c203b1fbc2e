//! The replies of a service of single lines, in parts: what waits for what, and what a limit answers.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, ConcurrencyLimitLayer, EachLine, ErrorReplyLayer, FramedTransport, Line,
    LinesBatchCodec, ObserveLayer, Semaphore, TimeoutLayer,
    serve::{ConnectionConfig, Serve},
    session::SessionStack,
    stats::{CloseReason, LineResult, Stats},
};

const KIB: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

struct Served {
    client: DuplexStream,
    ended: JoinHandle<Result<CloseReason, BoxError>>,
    stats: Arc<Stats>,
    permits: Arc<Semaphore>,
    config: Arc<ConnectionConfig>,
}

impl Served {
    /// Serves one connection, in the layers of the server, with a timeout of five seconds.
    fn with<S>(service: S) -> Self
    where
        S: Service<Line, Future: Send> + Clone + Send + 'static,
        S::Response: AsRef<[u8]> + Send,
        S::Error: Into<BoxError> + Send,
    {
        let (client, server) = duplex(64 * KIB);
        let stats = Arc::new(Stats::new(Instant::now()));
        let permits = Arc::new(Semaphore::new(9));
        let timeout = TimeoutLayer::new(TIMEOUT);
        let limit = ConcurrencyLimitLayer::new(permits.clone());
        let limits = SessionStack::new(stats.clone(), &timeout, &limit);
        let lines = ServiceBuilder::new()
            .layer(ErrorReplyLayer::new())
            .layer(ObserveLayer::new(stats.clone()))
            .layer(timeout)
            .layer(limit)
            .service(EachLine::new(service));
        let config = Arc::new(ConnectionConfig::default());
        let serve = Serve::unboxed(lines).stats(stats.clone()).limits(limits);
        let mut serve = serve.config(config.clone());
        let transport = FramedTransport::new(server, LinesBatchCodec::new(KIB));
        let ended = tokio::spawn(serve.call(transport));
        Self { client, ended, stats, permits, config }
    }

    async fn send(&mut self, lines: &str) {
        self.client.write_all(lines.as_bytes()).await.unwrap();
    }

    async fn expect(&mut self, replies: &str) {
        let mut said = vec![0; replies.len()];
        self.client.read_exact(&mut said).await.unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), replies);
    }

    fn processed(&self, result: LineResult) -> u64 {
        self.stats.lines_processed[result as usize].get()
    }
}

/// Waits as many milliseconds as its line says, or for ever.
async fn millis(line: Line) -> Result<Line, BoxError> {
    match &line[..] {
        b"hang" => pending().await,
        b"oops" => Err("as the line said".into()),
        _ => {
            sleep(Duration::from_millis(line.to_str()?.parse()?)).await;
            Ok(line)
        }
    }
}

/// `EachLine` held all replies of a batch until the last line was served: a quick line in front of one that took
/// three seconds was answered after three seconds.
#[tokio::test(start_paused = true)]
async fn the_reply_to_a_line_does_not_wait_for_the_next() {
    let mut served = Served::with(service_fn(millis));
    let start = Instant::now();
    served.send("0\n3000\n0\n").await;
    served.expect("0\n").await;
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    served.expect("3000\n0\n").await;
    assert_eq!(start.elapsed().as_secs(), 3);
}

/// 200 pipelined lines of 30 ms took longer than the timeout of a batch: after five seconds all of them were
/// answered `ERR timeout`, though 160 had taken effect.
#[tokio::test(start_paused = true)]
async fn lines_that_are_each_in_time_are_answered_however_many_there_are() {
    let mut served = Served::with(service_fn(millis));
    let start = Instant::now();
    served.send(&"30\n".repeat(200)).await;
    served.expect("30\n").await;
    assert!(start.elapsed() < SECOND / 10, "{:?}", start.elapsed());
    served.expect(&"30\n".repeat(199)).await;
    assert_eq!(start.elapsed().as_secs(), 6);
    served.send("0\n").await;
    served.expect("0\n").await;
    assert_eq!((served.processed(LineResult::Ok), served.processed(LineResult::Timeout)), (201, 0));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_answers_the_line_that_is_late_and_those_behind_it_which_were_not_served() {
    let mut served = Served::with(service_fn(millis));
    let start = Instant::now();
    served.send("0\n1\nhang\n0\n").await;
    served.expect("0\n1\n").await;
    assert_eq!(start.elapsed().as_secs(), 0);
    served.expect("ERR timeout\nERR timeout\n").await;
    assert_eq!(start.elapsed().as_secs(), TIMEOUT.as_secs());
    served.send("hang\n0\n").await;
    served.expect("ERR timeout\nERR timeout\n").await;
    served.send("2\n").await;
    served.expect("2\n").await;
    assert_eq!((served.processed(LineResult::Ok), served.processed(LineResult::Timeout)), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_waits_holds_a_permit_and_the_others_none() {
    let mut served = Served::with(service_fn(millis));
    for lines in ["1000\n", "0\n1000\n", "0\n1\n1000\n"] {
        served.send(lines).await;
        sleep(SECOND / 2).await;
        assert_eq!(served.permits.in_use(), 1, "{lines:?}");
        served.expect(lines).await;
        sleep(SECOND / 2).await;
        assert_eq!(served.permits.in_use(), 0, "{lines:?}");
    }
}

/// A timeout around a line answered all lines of its batch, the ones that were served, too.
#[tokio::test(start_paused = true)]
async fn a_line_whose_own_timeout_passes_is_answered_alone() {
    let line = ServiceBuilder::new().timeout(SECOND).service(service_fn(millis));
    let mut served = Served::with(line);
    served.send("hang\n0\nhang\n7\n").await;
    served.expect("ERR timeout\n0\nERR timeout\n7\n").await;
    assert_eq!((served.processed(LineResult::Ok), served.processed(LineResult::Timeout)), (2, 2));
}

/// An error took the replies with it that lines in front of it had earned.
#[tokio::test(start_paused = true)]
async fn an_error_ends_the_connection_behind_the_replies_in_front_of_it() {
    let mut served = Served::with(service_fn(millis));
    served.send("1\n2\noops\n3\n").await;
    let mut said = String::new();
    served.client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "1\n2\n");
    drop(served.client);
    assert_eq!(served.ended.await.unwrap().unwrap_err().to_string(), "as the line said");
    let processed = |result| served.stats.lines_processed[result as usize].get();
    assert_eq!((processed(LineResult::Ok), processed(LineResult::Error)), (2, 2));
}

/// 64 KiB of `GET a` against a value of 60 KiB made one reply of 640 MiB.
#[tokio::test(start_paused = true)]
async fn replies_that_the_peer_does_not_take_stop_the_service() {
    let called = Arc::<AtomicUsize>::default();
    let count = called.clone();
    let mut served = Served::with(service_fn(move |_: Line| {
        count.fetch_add(1, SeqCst);
        async { Ok::<_, BoxError>(vec![b'x'; 60 * KIB - 1]) }
    }));
    served.send(&"GET a\n".repeat(10_000)).await;
    sleep(SECOND).await;
    let first = called.load(SeqCst);
    assert!((5..=9).contains(&first), "{first} replies of 60 KiB against 256 KiB of output");

    let mut taken = vec![0; 60 * KIB * 100];
    served.client.read_exact(&mut taken).await.unwrap();
    sleep(SECOND).await;
    let more = called.load(SeqCst) - first;
    assert!((98..=102).contains(&more), "{more} replies for 100 that were taken");
    drop(served.client);
    assert_eq!(served.ended.await.unwrap().unwrap(), CloseReason::PeerReset);
}

/// While the connections of a shard buffered more than they may together, one whose peer took no replies polled
/// nothing but its writes: a line of it that was done kept its permit for as long as the write timeout lets.
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_replies_while_memory_is_short_keeps_no_permit() {
    let mut served = Served::with(service_fn(|line: Line| async move {
        match &line[..] {
            b"long" => Ok(vec![b'x'; 80 * KIB - 1]),
            _ => millis(line).await.map(|line| line.to_vec()),
        }
    }));
    let long = "x".repeat(80 * KIB - 1) + "\n";
    for (wait, reply) in [("1000", "1000\n0\n"), ("hang", "ERR timeout\nERR timeout\n")] {
        served.send(&format!("long\n{wait}\n0\n")).await;
        sleep(SECOND / 2).await;
        assert_eq!(served.permits.in_use(), 1, "the line behind the long reply waits");
        served.config.set_buffered_bytes_max(1);
        sleep(2 * TIMEOUT).await;
        assert_eq!(served.permits.in_use(), 0, "{wait}");
        served.config.set_buffered_bytes_max(usize::MAX);
        served.expect(&format!("{long}{reply}")).await;
    }
}
