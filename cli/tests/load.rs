//! `towline load` as a process: flags, output, exit codes, worker processes, signals.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use towline_test_support::{LineServer, TempFile, refusal, towline, towline_in};

/// The flags that `towline help load` lists.
const FLAGS: [&str; 45] = [
    "--connections",
    "--connect-rate",
    "--connect-timeout",
    "--duration",
    "--drain",
    "--mode",
    "--window",
    "--reply-timeout",
    "--rate",
    "--message-rate",
    "--in-flight",
    "--message",
    "--expect",
    "--verify",
    "--seed",
    "--protocol",
    "--publishers",
    "--stuck",
    "--topic",
    "--message-bytes",
    "--login",
    "--subscribe",
    "--publish",
    "--confirm",
    "--persona",
    "--mix",
    "--persona-interval",
    "--processes",
    "--threads",
    "--sources",
    "--proxy",
    "--nagle",
    "--tls",
    "--tls-ca",
    "--tls-insecure",
    "--tls-cert",
    "--tls-key",
    "--tls-name",
    "--tls-resume",
    "--tls-min-version",
    "--tls-max-version",
    "--assert",
    "--json",
    "--html",
    "--hdr",
];

/// A run of few connections for a short time; `--json -` is parsed.
fn load(server: &LineServer, more: &[&str]) -> (i32, Value, String) {
    let address = server.address.to_string();
    let mut arguments = vec!["load", &address, "-c", "6", "-T", "300ms", "--quiet", "--json", "-"];
    arguments.extend(more);
    let run = towline(&arguments);
    (run.code, serde_json::from_str(&run.stdout).unwrap_or_default(), run.stderr)
}

#[test]
fn the_object_on_standard_output_says_that_all_is_well() {
    let server = LineServer::echo();
    let (code, json, errors) = load(&server, &["--mode", "ping-pong", "--verify"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(json["target"], server.address.to_string());
    assert_eq!(json["mode"], "ping-pong");
    assert_eq!(json["message_bytes"], 5);
    assert_eq!(json["connections"]["established"], 6);
    assert_eq!((&json["verify"]["mismatched"], &json["verify"]["missing"]), (&0.into(), &0.into()));
    assert!(json["verify"]["checked"].as_u64().unwrap() > 0);
    assert_eq!(json["lines"]["sent"], json["lines"]["received"]);
    assert!(
        json["latency_us"]["p50"].as_u64().unwrap() <= json["latency_us"]["p99"].as_u64().unwrap()
    );
    assert_eq!(json["generator"]["processes"], 1);
}

#[test]
fn several_processes_make_one_report() {
    let server = LineServer::echo();
    for mode in ["flood", "ping-pong", "idle"] {
        let flags = ["--mode", mode, "--processes", "3", "--verify", "-m", "{conn} {seq}\\n"];
        let (code, json, errors) = load(&server, &flags);
        assert_eq!((code, errors.as_str()), (0, ""), "{mode}");
        assert_eq!(json["generator"]["processes"], 3);
        assert_eq!(json["connections"]["established"], 6);
        assert_eq!(json["lines"]["sent"], json["lines"]["received"]);
        assert!(json["latency_us"]["count"].as_u64().unwrap() >= 6);
        assert!(json["spread"]["min"].as_u64().unwrap() >= 1, "every connection of every process");
    }
}

#[test]
fn a_wrong_reply_ends_with_4_and_a_missed_assertion_with_3() {
    let wrong = LineServer::start(|| Box::new(<[u8]>::to_ascii_uppercase));
    let (code, json, errors) = load(&wrong, &["--mode", "ping-pong", "--verify"]);
    assert_eq!(code, 4);
    assert!(errors.starts_with("towline: verification failed: of "), "{errors}");
    assert!(json["verify"]["mismatched"].as_u64().unwrap() > 0);

    let right = LineServer::echo();
    let missed = ["--mode", "ping-pong", "--assert", "received<3", "--assert", "errors==0"];
    let (code, json, errors) = load(&right, &missed);
    assert_eq!(code, 3);
    assert!(errors.contains("received<3 was missed"), "{errors}");
    assert!(!errors.contains("errors==0"), "{errors}");
    assert!(json["lines"]["received"].as_u64().unwrap() >= 3);
}

/// `--verify` ended with 0 at a server that answered `ERR timeout` to every line.
#[test]
fn error_lines_in_place_of_replies_end_with_4_and_are_shown_apart() {
    let server = LineServer::start(|| Box::new(|_| b"ERR timeout\n".to_vec()));
    for mode in ["ping-pong", "idle"] {
        let (code, json, errors) = load(&server, &["--mode", mode, "--verify"]);
        assert_eq!(code, 4, "{mode}: {errors}");
        assert!(errors.contains("were error lines"), "{errors}");
        assert_eq!(json["verify"]["error_replies"], json["lines"]["received"]);
        assert_eq!(json["verify"]["mismatched"], 0);
        assert_eq!(
            (&json["latency_us"]["count"], &json["latency_us"]["p50"]),
            (&0.into(), &0.into())
        );
        assert!(json["error_latency_us"]["count"].as_u64().unwrap() >= 6, "{json}");
    }
    // Without --verify they are counted, and are still no part of the latency.
    let address = server.address.to_string();
    let run =
        towline(&["load", &address, "-c", "6", "-T", "300ms", "--quiet", "--mode", "ping-pong"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("\nerror lines   p50 "), "{run:?}");
    assert!(run.stdout.contains("\nserver said   ERR timeout "), "{run:?}");
}

/// `--verify` ended with 0 at a server that sent bytes without end and never a line, and
/// `--assert 'p99<10ms'` held at one that never answered.
#[test]
fn of_several_verdicts_the_highest_is_the_exit_code() {
    let silent = LineServer::with(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let flags = ["--drain", "300ms", "--assert", "p99<10ms"];
    for mode in ["flood", "ping-pong", "idle"] {
        let (code, json, errors) = load(&silent, &[&flags[..], &["--mode", mode]].concat());
        assert_eq!(code, 3, "{mode}: {errors}");
        assert_eq!(errors, "towline: the assertion p99<10ms was missed: p99 has no samples\n");
        assert_eq!(json["verify"]["unanswered"], json["lines"]["sent"], "{mode}");
    }
    let several = ["--mode", "ping-pong", "--verify", "--processes", "2"];
    let (code, json, errors) = load(&silent, &[&flags[..], &several].concat());
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("p99 has no samples"), "{errors}");
    assert!(errors.contains("and 6 lines had no reply"), "{errors}");
    assert_eq!(json["verify"]["missing"], 6);

    let endless = LineServer::with(|mut stream| {
        while stream.write_all(&[b'x'; 1024]).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let (code, json, errors) = load(&endless, &["--mode", "flood", "--verify", "--drain", "300ms"]);
    assert_eq!(code, 4, "{errors}");
    assert_eq!(json["verify"]["missing"], json["lines"]["sent"]);

    // The server ends every connection, so nothing is as requested, and nothing was measured.
    let closing = LineServer::with(drop);
    let (code, _, errors) = load(&closing, &["--mode", "ping-pong", "--verify"]);
    assert_eq!(code, 1, "{errors}");
    let (code, _, errors) =
        load(&closing, &["--mode", "ping-pong", "--verify", "--assert", "p99<10ms"]);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("the server ended 6 connections"), "{errors}");
}

#[test]
fn the_spellings_of_tcpkali_are_understood() {
    let server = LineServer::echo();
    let address = server.address.to_string();
    let run = towline(&[
        "load",
        "-em",
        "ping\\n",
        "-c4",
        "--connect-rate=2k",
        "--duration=0.2s",
        "-w1",
        "-q",
        &address,
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("flood, 5-byte message"), "{run:?}");
    let run = towline(&["load", "-m", "x\\n", "-c2", "-r50", "-T200ms", "-q", &address]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("paced, 2-byte message"), "{run:?}");
}

#[test]
fn reports_are_written_and_merged() {
    let server = LineServer::echo();
    let files: Vec<TempFile> = (0..4).map(|_| TempFile::new("old")).collect();
    let [one, html, hdr, two] = files.iter().map(TempFile::name).collect::<Vec<_>>()[..] else {
        panic!("four files")
    };
    let address = server.address.to_string();
    let flags =
        ["--mode", "ping-pong", "-T", "200ms", "-q", "--html", html, "--hdr", hdr, "--json"];
    for json in [one, two] {
        let run = towline(&[&["load", &address], &flags[..], &[json]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("connections   1 of 1 made"), "{run:?}");
    }
    assert!(fs::read_to_string(html).unwrap().starts_with("<!doctype html>"));
    assert!(fs::read_to_string(hdr).unwrap().starts_with("#[Logged with towline load"));

    let merged = towline(&["load", "merge", one, two, "--json", "-", "--assert", "established==2"]);
    assert_eq!(merged.code, 0, "{merged:?}");
    let merged: Value = serde_json::from_str(&merged.stdout).unwrap();
    let received = |file| -> u64 {
        let report: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        report["lines"]["received"].as_u64().unwrap()
    };
    assert_eq!(merged["lines"]["received"], received(one) + received(two));
    let no_report = refusal(&["load", "merge", html]);
    assert!(no_report.contains("is not a report of towline load --json"), "{no_report}");
}

#[test]
fn an_unwritable_report_is_found_before_anything_is_sent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sentence = refusal(&["load", &address, "--json", "/nowhere/at/all.json"]);
    assert!(sentence.contains("cannot be written to /nowhere/at/all.json"), "{sentence}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a client connected");
}

#[test]
fn a_target_that_refuses_ends_with_1_and_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let run = towline(&["load", &address, "-c", "3", "-T", "1s", "--quiet"]);
    assert_eq!(run.code, 1, "{run:?}");
    let sentence =
        format!("towline: 3 of 3 connections were not made (0 were): {address} refused\n");
    assert_eq!(run.stderr, sentence);
    assert_eq!(run.stdout, "", "there are no figures to show");
}

#[test]
fn a_message_without_a_newline_is_warned_about_before_the_run() {
    let server = LineServer::echo();
    let address = server.address.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_towline"))
        .args(["load", &address, "-m", "hello", "-T", "10m"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "the run has only begun");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        first,
        "towline: warning: the message `hello` has no newline at its end, so a line server never \
         answers it: add \\n\n"
    );
}

#[test]
fn bad_clients_are_reported_by_role_under_personas() {
    let server = LineServer::echo();
    let flags = ["--mix", "polite=3,churn=3", "--mode", "ping-pong"];
    let (code, json, errors) = load(&server, &flags);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(json["personas"].as_array().unwrap().len(), 1);
    assert_eq!(json["personas"][0]["role"], "churn");
    assert_eq!(json["personas"][0]["connections"], 3);
    for field in
        ["established", "connect_failed", "closed_by_server", "bytes_sent", "lines_received"]
    {
        assert!(json["personas"][0][field].is_u64(), "{field}: {json}");
    }
}

#[test]
fn the_help_explains_every_mode_and_bad_client_within_80_columns() {
    let run = towline_in(&[("COLUMNS", "80")], &["help", "load"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let explained = |name: &str| {
        run.stdout.lines().any(|line| {
            let rest = line.trim_start().trim_start_matches("- ").strip_prefix(name);
            rest.is_some_and(|rest| rest.trim_start_matches(':').trim_start().len() > 20)
        })
    };
    for name in ["flood", "ping-pong", "paced", "idle"] {
        assert!(explained(name), "{name}");
    }
    for name in ["slowloris", "trickle", "never-read", "half-open", "reset", "churn", "burst"] {
        assert!(explained(name), "{name}");
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
}

#[test]
fn every_flag_keeps_its_spelling() {
    let help = towline(&["help", "load"]).stdout;
    for flag in FLAGS {
        let listed = |line: &str| {
            let line = line.trim_start();
            let long = line.split_once(", ").map_or(line, |(_short, long)| long);
            long.split(' ').next() == Some(flag)
        };
        assert!(help.lines().any(listed), "{flag} is not in {help}");
    }
    let address = "127.0.0.1:9";
    for alias in [["--workers", "1"], ["--source-ip", "auto"]] {
        let run = towline(&[&["load", address, "-c", "0"], &alias[..]].concat());
        assert!(run.stderr.contains("at least 1"), "{run:?}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused_in_one_sentence() {
    let at = "127.0.0.1:9";
    for (arguments, expected) in [
        (&["load"][..], "needs a target"),
        (&["load", "localhost"], "HOST:PORT"),
        (&["load", at, "--rate", "0"], "`0` is zero: expected a rate"),
        (&["load", at, "--rate", "5000m"], "`5000m` is too large: expected a rate"),
        (&["load", at, "--connect-rate", "fast"], "`fast` is not a number: expected a rate"),
        (&["load", at, "-c", "0"], "at least 1"),
        (&["load", at, "-T", "0s"], "duration of 0"),
        (&["load", at, "-T", "5x"], "`5x` has the unknown unit \"x\": expected a duration"),
        (&["load", at, "--mode", "ping-pong", "-m", "ping"], "does not end in a newline"),
        (&["load", at, "--mode", "flood", "--verify", "-m", "ping"], "does not end in a newline"),
        (&["load", at, "-m", ""], "empty"),
        (&["load", at, "-m", "{who}\\n"], "is not known"),
        (&["load", at, "--mode", "paced"], "--rate"),
        (&["load", at, "--mode", "flood", "--rate", "5"], "--mode paced"),
        (&["load", at, "--mode", "flood", "--window", "5"], "ping-pong"),
        (&["load", at, "--mix", "polite=3,rude=4"], "not a persona"),
        (&["load", at, "-c", "9", "--mix", "polite=3,churn=4"], "adds up to 7"),
        (&["load", at, "--sources", "here"], "not a source"),
        (&["load", at, "--assert", "p98<1ms"], "which no report has"),
        (&["load", at, "--processes", "1", "-c", "2m"], "descriptors"),
        (&["load", at, "--conections", "5"], "did you mean --connections"),
        (&["load", "merge"], "<FILE>"),
        (&["load", "merge", "/nowhere.json"], "cannot be read"),
    ] {
        let sentence = refusal(arguments);
        assert!(sentence.contains(expected), "{arguments:?}: {sentence}");
    }
}

#[test]
fn an_unresolvable_name_fails_and_is_named() {
    let run = towline(&["load", "no-such-host.invalid:9000"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("`no-such-host.invalid:9000` cannot be resolved"), "{run:?}");
}

#[test]
fn an_interrupt_ends_early_with_a_whole_report() {
    let server = LineServer::echo();
    for processes in ["1", "2"] {
        let child = Command::new(env!("CARGO_BIN_EXE_towline"))
            .args([
                "load",
                &server.address.to_string(),
                "-c",
                "4",
                "-T",
                "10m",
                "--mode",
                "ping-pong",
            ])
            .args(["--verify", "--json", "-", "--quiet", "--processes", processes])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(700));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["interrupted"], true);
        assert_eq!(json["lines"]["sent"], json["lines"]["received"]);
        assert!(json["lines"]["received"].as_u64().unwrap() > 0);
    }
}
