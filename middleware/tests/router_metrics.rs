//! What a router counts: commands by how they ended, and how long they took.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};
use tower::service_fn;
use tower_service::Service;
use towline_middleware::{
    BatchCodec, ConcurrencyLimitLayer, Echo, FramedTransport, LoadShed, Semaphore, TimeoutLayer,
    protocol::Lf,
    reply::{Args, Close, ReplyError},
    router::{Command, Router, RouterError, Routes},
    serve::Serve,
    session::{Conn, Cx, Deferred, ReplyStream, SessionResponder, SessionStack},
    stats::{Clock, CommandResult, CommandSnapshot, LineResult, Stats},
};

const KIB: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A server of one router.
struct Tested {
    stats: Arc<Stats>,
    permits: Arc<Semaphore>,
    stack: SessionStack,
    routes: Routes<Lf, ()>,
}

impl Tested {
    fn new(router: Router<Lf, ()>) -> Self {
        Self::with_clock(router, Instant::now())
    }

    fn with_clock(router: Router<Lf, ()>, clock: impl Into<Clock>) -> Self {
        let stats = Arc::new(Stats::of_one_thread(clock));
        let permits = Arc::new(Semaphore::new(1));
        let limit = ConcurrencyLimitLayer::new(permits.clone()).load_shed(LoadShed::WhenFull);
        let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(SECOND), &limit);
        let routes = router.build().unwrap().counted_by(&stack);
        Self { stats, permits, stack, routes }
    }

    /// Everything that a connection says to `input` and the end of input.
    async fn said(&self, input: &str) -> String {
        let (mut client, server) = duplex(256 * KIB);
        client.write_all(input.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let session = self.routes.session(());
        let responder = SessionResponder::new(session, Conn::new(None), self.stack.clone());
        let mut serve =
            Serve::unboxed(Echo).half_close(None).stats(self.stats.clone()).one(responder);
        let served = serve.call(FramedTransport::new(server, BatchCodec::new(KIB)));
        let read = async move {
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            said
        };
        let (ended, said) = tokio::join!(served, read);
        ended.unwrap();
        said
    }

    fn commands(&self) -> Vec<CommandSnapshot> {
        self.stats.commands().unwrap().snapshot()
    }

    fn command(&self, name: &str) -> CommandSnapshot {
        self.commands().into_iter().find(|command| command.command == name).unwrap()
    }

    /// How often `name` ended with an answer, with an error, too late, and shed.
    fn results(&self, name: &str) -> [u64; 4] {
        let command = self.command(name);
        [CommandResult::Ok, CommandResult::Error, CommandResult::Timeout, CommandResult::Shed]
            .map(|result| command.results[result as usize])
    }

    /// The number of durations of `name`, and their sum.
    fn durations(&self, name: &str) -> (u64, Duration) {
        let durations = self.command(name).durations.unwrap();
        (durations.count(), Duration::from_nanos(durations.sum_nanos))
    }
}

fn parse(_: &mut (), args: Args<'_>) -> Result<i64, ReplyError> {
    args.parse()
}

fn refuse(_: &mut (), _: Args<'_>, _: &mut Cx<'_, Lf>) -> Result<(), ReplyError> {
    Err(ReplyError::new("not you"))
}

/// Waits for as many milliseconds as its argument says; errors for none.
fn wait(_: &mut (), args: Args<'_>) -> Result<Deferred<Lf, ()>, ReplyError> {
    let millis: u64 = args.parse()?;
    Ok(Deferred::new(async move {
        sleep(Duration::from_millis(millis)).await;
        if millis == 0 { Err(ReplyError::new("too short")) } else { Ok("waited") }
    }))
}

#[tokio::test]
async fn a_command_counts_as_an_error_if_its_reply_is_one() {
    let tested = Tested::new(
        Router::<Lf, ()>::new()
            .command("PARSE", parse)
            .command("QUIET", |_: &mut (), _: Args<'_>| ())
            .command("QUIT", |_: &mut (), _: Args<'_>| Close("bye"))
            .group(|guarded| guarded.before(refuse).command("GUARDED", parse)),
    );
    tested.said("parse 1\nPARSE 2\nparse\nparse x\nquiet\nguarded 1\n\n  \nquit\nparse 3\n").await;
    assert_eq!(tested.results("PARSE"), [2, 2, 0, 0]);
    assert_eq!(tested.results("QUIET"), [1, 0, 0, 0]);
    assert_eq!(tested.results("GUARDED"), [0, 1, 0, 0]);
    assert_eq!(tested.results("QUIT"), [1, 0, 0, 0]);
    // Lines without a verb are no commands.
    assert_eq!(tested.results("other"), [0; 4]);
}

#[tokio::test]
async fn a_thousand_unknown_verbs_count_as_one() {
    let tested = Tested::new(Router::<Lf, ()>::new().command("PARSE", parse));
    let input: String = (0..1_000).map(|n| format!("UNKNOWN-{n} \"}}\nparse 1\n")).collect();
    tested.said(&input).await;
    assert_eq!(tested.commands().len(), 2);
    assert_eq!(tested.results("PARSE"), [1_000, 0, 0, 0]);
    assert_eq!(tested.results("other"), [0, 1_000, 0, 0]);
    // Every line is a command, so both sums agree.
    let processed = tested.stats.lines_processed[LineResult::Ok as usize].get();
    let commands = tested.commands();
    assert_eq!(processed, commands.iter().flat_map(|command| command.results).sum::<u64>());
}

#[tokio::test]
async fn unknown_verbs_end_as_their_fallback_does_and_one_too_many_is_an_error() {
    let router = Router::<Lf, ()>::new().fallback(|_: &mut (), args: Args<'_>| {
        (args.verb() == b"fine").then_some("fine").ok_or(ReplyError::new("no"))
    });
    let tested = Tested::new(router.bogus_max(3));
    tested.said("fine\nbad\nfine\nfine\n").await;
    assert_eq!(tested.results("other"), [2, 2, 0, 0]);
}

#[tokio::test]
async fn a_command_named_other_counts_with_unknown_verbs() {
    let other = |_: &mut (), _: Args<'_>| "other";
    let tested = Tested::new(Router::<Lf, ()>::new().command("other", other).command("B", other));
    tested.said("OTHER\nunknown\nb\n").await;
    assert_eq!(tested.commands().len(), 2);
    assert_eq!(tested.results("other"), [1, 1, 0, 0]);
    assert_eq!(tested.results("B"), [1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deferred_reply_is_counted_once_by_how_it_ended() {
    let fail = service_fn(|_: Command<Lf>| async { Err::<(), _>(ReplyError::new("no")) });
    let tested = Tested::new(
        Router::<Lf, ()>::new()
            .command("WAIT", wait)
            .command("NEVER", |_: &mut (), _: Args<'_>| Deferred::<Lf, ()>::new(pending::<&str>()))
            .within(3 * SECOND)
            .timed()
            .command("TWICE", |_: &mut (), _: Args<'_>| {
                Deferred::<Lf, ()>::then(sleep(SECOND / 4), |(), (), cx| {
                    cx.reply(Deferred::new(async {
                        sleep(SECOND / 4).await;
                        "twice"
                    }))
                })
            })
            .timed()
            .service("FAIL", fail),
    );
    let said = tested.said("wait 10\nwait 0\nwait\nwait 5000\nnever\ntwice\nfail\n").await;
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "waited",
            "ERR too short",
            "ERR wrong number of arguments for 'wait' command",
            "ERR timeout",
            "ERR timeout",
            "twice",
            "ERR no"
        ]
    );
    assert_eq!(tested.results("WAIT"), [1, 2, 1, 0]);
    assert_eq!(tested.results("NEVER"), [0, 0, 1, 0]);
    assert_eq!(tested.durations("NEVER"), (1, 3 * SECOND));
    assert_eq!(tested.results("TWICE"), [1, 0, 0, 0]);
    assert_eq!(tested.durations("TWICE"), (1, SECOND / 2));
    assert_eq!(tested.results("FAIL"), [0, 1, 0, 0]);
    // The first takes the only permit.
    let (first, second) = tokio::join!(tested.said("wait 20\n"), async {
        sleep(MILLISECOND).await;
        tested.said("wait 10\n").await
    });
    assert_eq!((first.as_str(), second.as_str()), ("waited\n", "ERR overloaded\n"));
    assert_eq!(tested.results("WAIT"), [2, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_connection_ends_before_its_reply_counts_nowhere() {
    let tested = Tested::new(Router::<Lf, ()>::new().command("WAIT", wait).timed());
    let said = tokio::time::timeout(MILLISECOND, tested.said("wait 1\nwait 500\n")).await;
    assert!(said.is_err(), "it was answered");
    assert_eq!(tested.results("WAIT"), [1, 0, 0, 0]);
    assert_eq!(tested.durations("WAIT"), (1, MILLISECOND));
}

#[tokio::test(start_paused = true)]
async fn a_timed_command_takes_from_its_call_to_the_end_of_its_reply() {
    let parts = |_: &mut (), _: Args<'_>| {
        ReplyStream::new(stream::unfold(0, |part| async move {
            sleep(10 * MILLISECOND).await;
            (part < 3).then(|| (Ok::<_, std::io::Error>("part\n".into()), part + 1))
        }))
    };
    let tested = Tested::new(
        Router::<Lf, ()>::new()
            .command("PARSE", parse)
            .timed()
            .command("UNTIMED", parse)
            .command("WAIT", wait)
            .timed()
            .command("PARTS", parts)
            .timed()
            .fallback(parse)
            .timed(),
    );
    let said = tested.said("parse 1\nparse x\nuntimed 1\nwait 30\nwait 7\nparts\nwhat 1\n").await;
    assert_eq!(said.lines().filter(|line| *line == "part").count(), 3);
    assert_eq!(tested.durations("PARSE"), (2, Duration::ZERO));
    assert_eq!(tested.durations("WAIT"), (2, 37 * MILLISECOND));
    assert_eq!(tested.durations("PARTS"), (1, 40 * MILLISECOND));
    assert_eq!(tested.results("PARTS"), [1, 0, 0, 0]);
    assert_eq!(tested.durations("other"), (1, Duration::ZERO));
    assert_eq!(tested.command("UNTIMED").durations, None);
}

#[tokio::test(start_paused = true)]
async fn commands_that_wait_together_are_counted_one_by_one() {
    let router = || Router::<Lf, ()>::new().command("WAIT", wait).timed().command("PARSE", parse);
    let results = |permits: usize, router: Router<Lf, ()>| async move {
        let tested = Tested::new(router);
        tested.permits.set_limit(permits);
        let said = tested.said("wait 30\nwait 7\nparse 1\nwait\nwait 5000\nwait 9\n").await;
        assert_eq!(said.lines().count(), 6);
        assert_eq!(tested.results("PARSE"), [1, 0, 0, 0]);
        (tested.results("WAIT"), tested.durations("WAIT").1)
    };
    // The last one has no permit. In order, a reply is late until those in front of it are written.
    let (counted, took) = results(3, router().overlap(8)).await;
    assert_eq!((counted, took), ([2, 1, 1, 1], 2 * 30 * MILLISECOND + SECOND));
    let (counted, took) = results(3, router().overlap_tagged(8)).await;
    assert_eq!((counted, took), ([2, 1, 1, 1], 37 * MILLISECOND + SECOND));
    let (counted, _) = results(8, router().overlap_tagged(8)).await;
    assert_eq!(counted, [3, 1, 1, 0]);
}

#[tokio::test]
async fn only_a_timed_command_reads_the_clock() {
    static READINGS: AtomicU64 = AtomicU64::new(0);
    fn nanos() -> u64 {
        READINGS.fetch_add(1, Relaxed)
    }
    let router = Router::<Lf, ()>::new().command("TIMED", parse).timed().command("PARSE", parse);
    let tested = Tested::with_clock(router, Clock::read_by(Instant::now(), nanos));
    let readings = async |input: String| {
        let before = READINGS.load(Relaxed);
        tested.said(&input).await;
        READINGS.load(Relaxed) - before
    };
    let one = readings("parse 1\n".to_owned()).await;
    assert_eq!(readings("parse 1\n".repeat(100)).await, one);
    assert_eq!(readings("timed 1\n".repeat(100)).await, one + 200);
}

#[test]
fn one_shard_counts_the_commands_of_one_router() {
    let router = |verb| Router::<Lf, ()>::new().command(verb, parse).build().unwrap();
    let tested = Tested::new(Router::new().command("A", parse));
    // The same commands again, and others, which are served and not counted.
    drop((router("A").counted_by(&tested.stack), router("B").counted_by(&tested.stack)));
    let names = tested.commands().into_iter().map(|command| command.command);
    assert_eq!(names.collect::<Vec<_>>(), ["A", "other"]);
}

#[test]
fn a_setting_of_a_command_needs_one_in_front_of_it() {
    let router = Router::<Lf, ()>::new().timed().command("PARSE", parse);
    let error = router.build().unwrap_err();
    assert_eq!(error, RouterError::NothingBefore("timed"));
    assert_eq!(error.to_string(), "`timed` has no command in front of it");
}
