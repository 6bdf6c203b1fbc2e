//! Routers: commands by their verbs, guards, hooks, and services around one command.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};
use tower::{ServiceBuilder, service_fn};
use towline_middleware::{
    BatchCodec,
    drain::{self, Watch},
    protocol::Lf,
    reply::{Args, Close, ReplyError},
    router::{Command, Router, RouterError, Routes},
    session::{Action, Cx, Deferred, serve_session},
    stats::CloseReason,
};

const KIB: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);

/// The state of a connection in these tests: what was done, in order.
type Log = Vec<String>;

/// The table of `router`, with a command that ends the connection.
fn build(router: Router<Lf, Log>) -> Routes<Lf, Log> {
    router.command("END", |_: &mut Log, _: Args<'_>| Close(())).build().unwrap()
}

/// Everything that a connection says to `input` until it ends.
async fn said(routes: &Routes<Lf, Log>, input: &str) -> String {
    let (mut client, server) = duplex(64 * KIB);
    client.write_all(input.as_bytes()).await.unwrap();
    client.write_all(b"END\n").await.unwrap();
    let session = routes.session(Log::new());
    let ended = serve_session(server, BatchCodec::new(KIB), session, Watch::never());
    let read = async move {
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        said
    };
    let (ended, said) = tokio::join!(ended, read);
    assert_eq!(ended.unwrap(), CloseReason::ServiceClose);
    said
}

fn log(log: &mut Log, args: Args<'_>) -> usize {
    log.push(args.verb().escape_ascii().to_string());
    log.len()
}

fn show(log: &mut Log, _: Args<'_>) -> String {
    log.join(" ")
}

#[tokio::test]
async fn a_verb_finds_its_handler_in_any_case_and_no_other_does() {
    let routes = build(
        Router::<Lf, Log>::new()
            .command("GET", |_: &mut Log, _: Args<'_>| "get")
            .command("GETS", |_: &mut Log, _: Args<'_>| "gets")
            .command("a-verb-of-more-than-16-bytes", |_: &mut Log, _: Args<'_>| "long")
            .command("a-verb-of-more-than-17-bytes", |_: &mut Log, _: Args<'_>| "longer")
            .command("echo", |_: &mut Log, args: Args<'_>| args.parse::<&str>().map(str::to_owned)),
    );
    let input = "GET\nget x\n gEtS\nA-VERB-OF-MORE-THAN-16-BYTES\na-verb-of-more-than-17-bytes\n\
                 a-verb-of-more-than-18-bytes\nGE\n\n  \nECHO hi\necho\n\x01\n";
    let said = said(&routes, input).await;
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "get",
            "get",
            "gets",
            "long",
            "longer",
            "ERR unknown command 'a-verb-of-more-than-18-bytes'",
            "ERR unknown command 'GE'",
            // Lines without a verb are answered with nothing.
            "hi",
            "ERR wrong number of arguments for 'echo' command",
            "ERR unknown command '\\x01'",
        ]
    );
}

#[tokio::test]
async fn exact_case_tells_two_commands_apart() {
    let routes = build(
        Router::<Lf, Log>::new()
            .exact_case()
            .command("get", |_: &mut Log, _: Args<'_>| "lower")
            .command("GET", |_: &mut Log, _: Args<'_>| "upper"),
    );
    let said = said(&routes, "get\nGET\nGet\n").await;
    assert_eq!(said, "lower\nupper\nERR unknown command 'Get'\n");
}

#[tokio::test]
async fn frames_are_split_as_the_router_says() {
    let router = Router::<Lf, Log>::new()
        .args_of(|line| Args::words(line.strip_prefix(b"/").unwrap_or_default()))
        .command("ECHO", |_: &mut Log, args: Args<'_>| args.parse::<&str>().map(str::to_owned));
    assert_eq!(said(&build(router), "/echo hi\necho hi\n/ECHO\n/END\n").await, {
        "hi\nERR wrong number of arguments for 'echo' command\n"
    });
}

#[tokio::test]
async fn as_many_commands_as_are_allowed_are_found() {
    let name = |n: usize| -> &'static str { format!("THE-SAME-BEGINNING-{n:03}").leak() };
    let table = |commands: usize| {
        (0..commands).fold(Router::<Lf, Log>::new(), |router, n| {
            router.command(name(n), move |_: &mut Log, _: Args<'_>| n)
        })
    };
    // And the one that ends.
    let routes = build(table(127));
    let input: String = (0..128).map(|n| format!("{}\n", name(n))).collect();
    let said = said(&routes, &input).await;
    let lines: Vec<_> = said.lines().collect();
    assert!((0..127).all(|n| lines[n] == n.to_string()), "{said}");
    assert_eq!(lines[127], "ERR unknown command 'THE-SAME-BEGINNING-127'");
    assert_eq!(table(129).build().unwrap_err(), RouterError::TooMany(129));
}

#[test]
fn what_makes_no_table_is_an_error_that_names_it() {
    let error = |verbs: &[&'static str]| {
        let router = verbs.iter().fold(Router::<Lf, Log>::new(), |router, verb| {
            router.command(verb, |_: &mut Log, _: Args<'_>| "")
        });
        router.build().unwrap_err().to_string()
    };
    assert_eq!(error(&["GET", "SET", "get"]), "command \"get\" is named twice");
    let valid = "1 to 64 printable ASCII characters without spaces";
    for verb in ["", "a b", "caf\u{e9}", "a\n", "x".repeat(65).leak()] {
        assert_eq!(error(&[verb]), format!("command {verb:?}: expected {valid}"));
    }
    let within = Router::<Lf, Log>::new().within(SECOND).command("GET", show).build();
    assert_eq!(within.unwrap_err(), RouterError::NothingBefore("within"));
}

#[tokio::test]
async fn a_guard_stands_in_front_of_the_commands_named_after_it_in_its_group() {
    fn guard(log: &mut Log, args: Args<'_>, _: &mut Cx<'_, Lf>) -> Result<(), ReplyError> {
        log.push("guard".into());
        let allowed = args.iter().next() != Some(b"no");
        if allowed { Ok(()) } else { Err(ReplyError::new("not now")) }
    }
    let routes = build(
        Router::<Lf, Log>::new()
            .command("OUTER", log)
            .group(|inner| {
                inner.command("EARLY", log).before(guard).command("INNER", log).group(|innermost| {
                    innermost
                        .before(|_: &mut Log, _: Args<'_>, _: &mut Cx<'_, Lf>| {
                            Err(ReplyError::new("never").fatal())
                        })
                        .command("NEVER", log)
                })
            })
            .command("SHOW", show),
    );
    let input = "OUTER\nEARLY\nINNER\nINNER no\nSHOW\nNEVER no\nNEVER\nSHOW\n";
    let said = said(&routes, input).await;
    assert_eq!(
        said,
        "1\n2\n4\nERR not now\nOUTER EARLY guard INNER guard\nERR not now\nERR never\n"
    );
}

#[tokio::test]
async fn a_fallback_answers_unknown_verbs_until_there_were_too_many() {
    let routes = build(Router::<Lf, Log>::new().command("SHOW", show).fallback(log).bogus_max(2));
    let said = said(&routes, "a\nSHOW\n\nb\nSHOW\nc\nSHOW\n").await;
    assert_eq!(said, "1\na\n2\na b\nERR too many unknown commands\n");
}

#[tokio::test(start_paused = true)]
async fn a_deferred_reply_comes_back_to_the_state_of_the_router() {
    fn later(_: &mut Log, args: Args<'_>) -> Result<Deferred<Lf, Log>, ReplyError> {
        let word = args.parse::<&str>()?.to_owned();
        Ok(Deferred::then(
            async move {
                sleep(SECOND).await;
                word
            },
            |log: &mut Log, word, _| {
                log.push(word);
                // And waits once more.
                Action::Deferred(Deferred::then(sleep(SECOND), |log: &mut Log, (), cx| {
                    log.push("twice".into());
                    cx.close(log.join(" "))
                }))
            },
        ))
    }
    let routes = build(Router::<Lf, Log>::new().command("LATER", later).command("LOG", log));
    let begun = Instant::now();
    let said = said(&routes, "LOG\nLATER\nLATER once\nLOG\n").await;
    assert_eq!(said, "1\nERR wrong number of arguments for 'later' command\nLOG once twice\n");
    assert!(begun.elapsed() >= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_command_waits_no_longer_than_it_says_unless_its_reply_says_otherwise() {
    fn hang(_: &mut Log, _: Args<'_>) -> Deferred<Lf, Log> {
        Deferred::new(std::future::pending::<()>())
    }
    fn hang_long(_: &mut Log, _: Args<'_>) -> Deferred<Lf, Log> {
        Deferred::new(std::future::pending::<()>()).within(60 * SECOND)
    }
    let routes = build(
        Router::<Lf, Log>::new()
            .command("HANG", hang)
            .within(SECOND)
            .command("HANG-LONG", hang_long)
            .within(SECOND)
            .fallback(hang)
            .within(3 * SECOND)
            .command("SHOW", show),
    );
    for (command, seconds) in [("HANG", 1), ("HANG-LONG", 60), ("OTHER", 3)] {
        let begun = Instant::now();
        let said = said(&routes, &format!("{command}\nSHOW\n")).await;
        assert_eq!(said, "ERR timeout\n\n", "{command}");
        assert_eq!(begun.elapsed().as_secs(), seconds, "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_answers_one_command_within_its_own_layers() {
    async fn render(command: Command<Lf>) -> Result<Close<String>, Infallible> {
        sleep(SECOND).await;
        let [first, second] = command.args().exactly().unwrap();
        let words = (second.escape_ascii(), first.escape_ascii());
        Ok(Close(format!("{:?} {} {}", command.conn().address(), words.0, words.1)))
    }
    async fn fail(_: Command<Lf>) -> Result<(), ReplyError> {
        Err(ReplyError::new("no paper"))
    }
    let render = ServiceBuilder::new().concurrency_limit(1).service(service_fn(render));
    let routes = build(
        Router::<Lf, Log>::new().service("RENDER", render).service("PRINT", service_fn(fail)),
    );
    let begun = Instant::now();
    let input = "PRINT\nRENDER  a b\nPRINT\n";
    let (first, second) = tokio::join!(said(&routes, input), said(&routes, input));
    let expected = "ERR no paper\nNone b a\n";
    assert_eq!(first, expected);
    assert_eq!(second, expected);
    assert_eq!(begun.elapsed().as_secs(), 2, "one at a time");
}

#[tokio::test(start_paused = true)]
async fn hooks_have_the_state_from_the_beginning_to_the_end() {
    let ended = Arc::<Mutex<Vec<(Log, CloseReason)>>>::default();
    let end = ended.clone();
    let routes = Router::<Lf, Log>::new()
        .command("LOG", log)
        .on_open(|log: &mut Log, cx: &mut Cx<'_, Lf>| {
            log.push("open".into());
            cx.set_timer(SECOND);
            cx.reply("hello")
        })
        .on_timer(|log: &mut Log, _: &mut Cx<'_, Lf>| {
            log.push("timer".into());
            Action::Deferred(Deferred::then(sleep(SECOND), |log: &mut Log, (), cx| {
                log.push("waited".into());
                cx.reply("tick")
            }))
        })
        .on_drain(|log: &mut Log, cx: &mut Cx<'_, Lf>| {
            log.push("drain".into());
            cx.close("bye")
        })
        .on_close(move |log, reason| end.lock().unwrap().push((log, reason)))
        .build()
        .unwrap();

    let (mut client, server) = duplex(KIB);
    let (signal, watch) = drain::channel();
    let session = routes.session(Log::new());
    let served = tokio::spawn(serve_session(server, BatchCodec::new(KIB), session, watch));
    sleep(3 * SECOND).await;
    signal.drain();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    drop(client);
    assert_eq!(said, "hello\ntick\nbye\n");
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::Drain);
    let log = ["open", "timer", "waited", "drain"].map(str::to_owned).to_vec();
    assert_eq!(*ended.lock().unwrap(), [(log, CloseReason::Drain)]);
}

#[tokio::test]
async fn a_router_without_hooks_says_nothing_of_its_own() {
    let routes = Router::<Lf, Log>::new().build().unwrap();
    let (mut client, server) = duplex(KIB);
    let (signal, watch) = drain::channel();
    signal.drain();
    let session = routes.session(Log::new());
    let ended = serve_session(server, BatchCodec::new(KIB), session, watch);
    let mut said = String::new();
    let (ended, read) = tokio::join!(ended, client.read_to_string(&mut said));
    read.unwrap();
    assert_eq!((said.as_str(), ended.unwrap()), ("", CloseReason::Drain));
}
