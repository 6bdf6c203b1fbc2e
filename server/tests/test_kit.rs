//! Transcripts, splits and fuzzing of the test kit.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{convert::Infallible, panic, time::Duration};

use towline::{
    Action, ActionOf, Args, Close, CloseReason, Cx, Deferred, FrameOf, Lines, Router, Server,
    Session,
    protocol::{Lf, Raw},
    service_fn,
    test::{self, Stage},
};

/// The message with which `test` panics.
fn panics(test: impl FnOnce() + panic::UnwindSafe) -> String {
    let message = panic::catch_unwind(test).expect_err("it panics");
    match message.downcast::<String>() {
        Ok(message) => *message,
        Err(message) => (*message.downcast::<&str>().unwrap()).to_owned(),
    }
}

fn numbers() -> Server {
    let commands = Router::<Lf, i64>::new()
        .command("ADD", |sum: &mut i64, args: Args<'_>| {
            args.parse::<i64>().map(|number| {
                *sum += number;
                *sum
            })
        })
        .command("LATER", |_: &mut i64, _: Args<'_>| {
            Deferred::new(async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                "now"
            })
        })
        .command("REPEAT", |_: &mut i64, args: Args<'_>| {
            args.parse::<(usize, &str)>().map(|(count, text)| text.repeat(count.min(100_000)))
        })
        .command("QUIT", |_: &mut i64, _: Args<'_>| Close("bye"));
    Server::builder().frame_max(100).router(commands, |_conn| 0)
}

#[test]
fn a_transcript_plays_lines_bytes_time_and_ends_of_several_clients() {
    test::transcript(
        numbers(),
        r"
        # One client without a name, two with one.
        C: ADD 2
        S: 2
        C+ ADD \x31\nADD
        S: 3
        C+  4\n
        S+ 7\n
        ann C: LATER
        bob C: ADD 2
        bob S: 2
        -- 3s
        ann S: now
        ann C: ADD x
        ann S~ ERR * integer*
        ann C: QUIT
        ann S: bye
        ann S< service_close
        bob C<
        bob S<
        ",
    );
}

#[test]
fn a_transcript_that_fails_names_its_line_and_shows_the_conversation() {
    let plays = |text: &'static str| panics(move || test::transcript(numbers(), text));
    let other = plays("C: ADD 1\n\n  S: 2\n");
    let expected = "line 3 of the transcript, `S: 2`: expected the line \"2\", but the server said \"1\"\n     \
         0.000 C: ADD 1\n     0.000 S: 1\n";
    assert_eq!(other, expected);
    let reason = plays("C: QUIT\nS: bye\nS< peer_eof");
    assert!(reason.contains("line 3 of the transcript, `S< peer_eof`: expected the end of the connection, peer_eof, but it ended otherwise: service_close"), "{reason}");
    let more = plays("a C: ADD 1\na S: 1\na C: ADD 1\nb C: ADD 1\nb S: 1");
    assert!(
        more.contains(
            "line 3 of the transcript, `a C: ADD 1`: expected nothing more behind this line, but"
        ),
        "{more}"
    );
    for (line, error) in [
        ("X: what", "expected C:, C+, C<, S:, S~, S+ or S<, with the name of a client"),
        ("a-b C: what", "expected C:, C+, C<"),
        ("a b C: what", "expected C:, C+, C<"),
        ("-- soon", "the time is not a number"),
        ("S< tired", "no connection ends for this reason: expected one of peer_eof, "),
        ("C+ \\q", "expected r, n, t, 0, \\ or xNN behind a backslash"),
        ("S+ \\x4", "expected two hexadecimal digits behind \\x"),
    ] {
        // Nothing before it is played, so the step that would fail does not.
        let said = plays(Box::leak(format!("S: never said\n{line}").into_boxed_str()));
        assert!(
            said.starts_with(&format!("line 2 of the transcript, `{line}`: {error}")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_transcript_is_played_over_sockets_as_well() {
    let stage = Stage::over_tcp(numbers());
    stage.play("ann C: ADD 1\nbob C: ADD 2\nann S: 1\nbob S: 2\nann C: QUIT\nann S: bye\nann S< service_close").await;
}

#[test]
fn replies_do_not_depend_on_how_the_input_is_cut() {
    let input = "ADD 1\nLATER\nADD x\nREPEAT 50000 ab\n\nADD 40\nREPEAT 3 x\nQUIT\nADD 1\n";
    let held = test::any_split(numbers, input);
    assert!(held.said.starts_with(b"1\nnow\nERR "), "{held}");
    assert!(held.said.ends_with(b"\n41\nxxx\nbye\n"), "{held}");
    assert!(held.said.len() > 100_000);
    assert_eq!(held.reason, CloseReason::ServiceClose);
    let held = test::any_split(numbers, [&b"ADD 5\nADD 6"[..], &[b'6'; 200], b"\n"].concat());
    assert_eq!(
        (&held.said[..], held.reason),
        (&b"5\nERR line too long\n"[..], CloseReason::LineTooLong)
    );
    let held = test::any_split(numbers, "");
    assert_eq!((&held.said[..], held.reason), (&b""[..], CloseReason::PeerEof));
}

#[test]
fn a_server_whose_replies_depend_on_the_cut_is_found() {
    /// Takes each read for a message.
    struct Reads;

    impl Session for Reads {
        type Protocol = Raw;

        fn on_frame(&mut self, read: FrameOf<'_, Self>, cx: &mut Cx<'_, Raw>) -> ActionOf<Self> {
            cx.reply(format_args!("[{}]", String::from_utf8_lossy(read)))
        }
    }

    let said = panics(|| {
        test::any_split(|| Server::builder().sessions(|_| Reads), "hello");
    });
    let expected = "the replies depend on how the input arrives: cut at [1, 2, 3, 4]\n  C: \"h\"\n";
    assert!(said.starts_with(expected), "{said}");
    let expected = "  whole, from byte 0: \"[hello]\", then peer_eof\n  so, from byte 0: \"[h][e]";
    assert!(said.contains(expected), "{said}");
}

/// Panics at `!`, and takes much memory at `+`.
struct Faulty;

impl Session for Faulty {
    type Protocol = Lf;

    fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        match line {
            b"!" => panic!("as it was told"),
            b"+" => cx.reply(vec![b'x'; 3 << 20]),
            b"?" => Action::Deferred(Deferred::new(std::future::pending::<&str>())),
            _ => Action::Continue,
        }
    }
}

fn faulty() -> Server {
    let server = Server::builder().half_close_timeout(None).request_timeout(None);
    server.sessions(|_| Faulty)
}

#[test]
fn a_panic_a_hang_and_memory_above_the_limits_are_found() {
    for (input, found) in [
        ("!\n", "the program panicked"),
        ("?\n", "the connection does not end after its client closed it"),
    ] {
        let split = panics(move || drop(test::any_split(faulty, input)));
        assert!(split.contains(found), "{split}");
        let fuzz = panics(move || test::fuzz(faulty(), format!("\0{input}").as_bytes()));
        assert!(fuzz.contains(found), "{fuzz}");
    }
    // Stalled, so that the reply is held.
    let held = panics(|| test::fuzz(faulty(), b"\x40+\n"));
    assert!(held.contains("one connection holds 31"), "{held}");
    test::fuzz(faulty(), b"\x40-\n");
    test::fuzz(faulty(), b"");
}

#[test]
fn fuzzed_input_is_cut_stalled_and_reset() {
    let echo = || {
        let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
        Server::builder().frame_max(64).serve(echo)
    };
    for first in 0..=255 {
        test::fuzz(
            echo(),
            &[&[first, 3, 200, 100, 100, 7, 0, 255][..], &[b'a', b'\n'].repeat(50)].concat(),
        );
    }
}

/// Tokio's own words name neither the function nor what to write instead.
#[tokio::test]
async fn what_makes_a_runtime_of_its_own_says_so_in_another_one() {
    let said = [
        panics(|| drop(test::any_split(numbers, "a\n"))),
        panics(|| test::transcript(numbers(), "C: a")),
        panics(|| test::fuzz(numbers(), b"\0a\n")),
    ];
    for said in said {
        assert!(said.contains("a plain #[test]"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_outlive_their_stage_are_cut_and_told() {
    let stage = test::stage(numbers());
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    ann.send("a");
    drop(stage);
    assert_eq!(ann.is_closed().await, CloseReason::Shutdown);
    ann.send("nothing reads this");
    assert_eq!(ann.is_closed().await, CloseReason::Shutdown, "as often as it is asked");
    let silent = tokio::spawn(async move { bob.expect("a reply").await }).await.unwrap_err();
    let said = *silent.into_panic().downcast::<String>().unwrap();
    assert!(said.contains("but the server closed the connection"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_never_comes_ends_the_expectation_with_a_sentence() {
    let commands = Router::<Lf, ()>::new()
        .command("NEVER", |_: &mut (), _: Args<'_>| Deferred::new(std::future::pending::<&str>()));
    let server = Server::builder().request_timeout(None).router(commands, |_conn| ());
    let stage = test::stage(server);
    let mut client = stage.connect().await;
    client.send("NEVER");
    let waits = tokio::spawn(async move { client.expect("now").await }).await.unwrap_err();
    let said = *waits.into_panic().downcast::<String>().unwrap();
    assert!(said.contains("but nothing more came for 20s"), "{said}");
}
