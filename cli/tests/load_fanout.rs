//! `towline load --mode fanout` as a process: flags, output, exit codes, worker processes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use serde_json::Value;
use towline_test_support::{FanoutServer, refusal, towline};

fn fan_out(server: &FanoutServer, more: &[&str]) -> (i32, Value, String) {
    let address = server.server().address.to_string();
    let mut arguments = vec!["load", &address, "--mode", "fanout", "-c", "6", "-T", "300ms"];
    arguments.extend(["--quiet", "--json", "-"]);
    arguments.extend(more);
    let run = towline(&arguments);
    (run.code, serde_json::from_str(&run.stdout).unwrap_or_default(), run.stderr)
}

#[test]
fn several_processes_check_the_messages_of_each_others_publishers() {
    let server = FanoutServer::faithful();
    for pace in [["--rate", "100"], ["--window", "10"]] {
        let more = [&pace[..], &["--publishers", "2", "--processes", "3"]].concat();
        let (code, json, errors) = fan_out(&server, &more);
        assert_eq!((code, errors.as_str()), (0, ""), "{pace:?}");
        assert_eq!(json["mode"], "fanout");
        assert_eq!(json["generator"]["processes"], 3);
        assert_eq!(json["connections"]["established"], 8);
        let published = json["lines"]["sent"].as_u64().unwrap();
        assert!(published >= 10, "{json}");
        assert_eq!(json["lines"]["received"], 6 * published);
        assert_eq!(json["verify"]["checked"], 6 * published);
        assert_eq!(json["fanout"]["subscribers"], 6);
    }
}

#[test]
fn a_lost_message_ends_with_4_and_a_missed_assertion_with_3() {
    let forgetful = FanoutServer::with_one_wrong(|| {
        let mut number = 0;
        Box::new(move |line| {
            number += 1;
            if number == 2 { Vec::new() } else { line.to_vec() }
        })
    });
    let (code, json, errors) = fan_out(&forgetful, &["--rate", "100", "--processes", "2"]);
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("1 did not arrive"), "{errors}");
    assert_eq!(json["verify"]["missing"], 1);

    let missed = ["--rate", "100", "--assert", "p99<1us", "--assert", "foreign==0"];
    let (code, _, errors) = fan_out(&FanoutServer::faithful(), &missed);
    assert_eq!(code, 3, "{errors}");
    assert!(errors.contains("p99<1us") && !errors.contains("foreign"), "{errors}");
}

#[test]
fn what_cannot_be_asked_for_is_refused_in_one_sentence() {
    let fan_out = ["load", "127.0.0.1:9", "--mode", "fanout"];
    for (more, expected) in [
        (&[][..], "--rate MESSAGES_PER_SECOND or --window"),
        (&["--rate", "5", "--window", "5"], "expected one of them"),
        (&["--rate", "5", "--message", "x\\n"], "no --message"),
        (&["-r", "5"], "expected --rate"),
        (&["--window", "0"], "window of 0"),
        (&["--rate", "5", "--protocol", "mqtt"], "lines, resp or nats"),
        (&["--rate", "5", "--publishers", "0"], "0 publishers"),
        (&["--rate", "5", "-c", "3", "--stuck", "4"], "4 stuck subscribers of 3"),
        (&["--rate", "5", "--message-bytes", "10"], "messages of 10 bytes"),
        (&["--rate", "5", "--topic", "two words"], "not a word"),
        (&["--rate", "5", "--publish", "SAY x\\n"], "has no {message}"),
        (&["--rate", "5", "--publish", "SAY {message}"], "does not end in a newline"),
        (&["--rate", "5", "--login", "NICK {name}\\n"], "is not known"),
        (&["--rate", "5", "--protocol", "nats", "--login", "x\\n"], "--protocol lines"),
        (&["--rate", "5", "--persona", "churn"], "--stuck"),
    ] {
        let sentence = refusal(&[&fan_out[..], more].concat());
        assert!(sentence.contains(expected), "{more:?}: {sentence}");
    }
    for flag in ["--publishers", "--stuck", "--topic", "--message-bytes", "--login", "--confirm"] {
        let sentence = refusal(&["load", "127.0.0.1:9", flag, "5"]);
        assert!(sentence.contains("--mode fanout only"), "{flag}: {sentence}");
    }
}
