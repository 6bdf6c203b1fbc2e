//! Bad input: one sentence that names the flag or key, its value and what was expected; exit code 2.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use towline_test_support::{Run, TempFile, can, network_namespace, refusal, refusal_in, towline};

#[test]
fn an_unknown_flag_gets_the_nearest_one_or_one_of_the_same_meaning() {
    for command in [&["--listn", "x"][..], &["serve", "--listn", "x"], &["config", "--listn=x"]] {
        assert_eq!(refusal(command), "unknown flag --listn: did you mean --listen?");
    }
    for (unknown, meant) in [
        ("--port", "--listen"),
        ("-p", "--listen"),
        ("--file", "--config"),
        ("-v", "--log-level"),
        ("--connections", "--max-connections"),
        ("--idle", "--idle-timeout"),
    ] {
        let expected = format!("unknown flag {unknown}: did you mean {meant}?");
        assert_eq!(refusal(&["serve", unknown, "1"]), expected);
    }
    for command in ["serve", "config", "health", "load", "doctor"] {
        let expected = format!("unknown flag --qqq: `towline help {command}` lists the flags");
        assert_eq!(refusal(&[command, "--qqq"]), expected);
    }
    assert_eq!(refusal(&["--qqq"]), "unknown flag --qqq: `towline help serve` lists the flags");
}

#[test]
fn an_unknown_command_gets_the_nearest_one_or_one_of_the_same_meaning() {
    assert_eq!(refusal(&["serv"]), "unknown command serv: did you mean serve?");
    assert_eq!(
        refusal(&["config", "extra"]),
        "unknown argument extra: `towline help config` lists what it accepts"
    );
    for (unknown, meant) in [("version", "--version"), ("start", "serve"), ("status", "health")] {
        let expected = format!("unknown command {unknown}: did you mean `towline {meant}`?");
        assert_eq!(refusal(&[unknown]), expected);
    }
    assert_eq!(refusal(&["qqq"]), "unknown command qqq: `towline help` lists the commands");
}

#[test]
fn a_flag_without_its_value_or_given_twice_says_so() {
    assert_eq!(
        refusal(&["--heartbeat"]),
        "--heartbeat has no value: expected a duration from 1ms to 8760h, such as \
         5s (units ms, s, m, h, d), or off"
    );
    assert_eq!(refusal(&["--config"]), "--config has no value: write --config <FILE>");
    assert_eq!(
        refusal(&["serve", "--threads", "1", "--threads", "2"]),
        "--threads <NUMBER|auto> is given twice: give it once"
    );
    assert_eq!(
        refusal(&["--threads", "1", "config"]),
        "flags of config stand after it: `towline config --flag …`"
    );
}

#[test]
fn a_bad_value_gets_the_same_sentence_from_every_command_and_layer() {
    let problem = "has the unknown unit \"x\": expected a duration from 1ms to 8760h, such as 5s \
                   (units ms, s, m, h, d), or off";
    for command in [&[][..], &["serve"], &["config"], &["config", "--check"]] {
        let by_flag = [command, &["--request-timeout", "5x"]].concat();
        let expected = format!("timeouts.request = \"5x\" (flag --request-timeout) {problem}");
        assert_eq!(refusal(&by_flag), expected);

        let variable = "TOWLINE_TIMEOUTS__REQUEST";
        let expected = format!("timeouts.request = \"5x\" (environment {variable}) {problem}");
        assert_eq!(refusal_in(&[(variable, "5x")], command), expected);

        let file = TempFile::new("[timeouts]\nrequest = \"5x\"\n");
        let by_file = [command, &["--config", file.name()]].concat();
        let expected = format!("timeouts.request = \"5x\" (file {}:2) {problem}", file.name());
        assert_eq!(refusal(&by_file), expected);
    }
}

#[test]
fn bad_numbers_units_and_words_are_named() {
    for (flag, value, start) in [
        ("--max-line", "64k", "limits.line_bytes = \"64k\" (flag --max-line) is ambiguous"),
        ("--max-line", "-5", "limits.line_bytes = \"-5\" (flag --max-line) is negative"),
        ("--idle-timeout", "-5s", "timeouts.idle = \"-5s\" (flag --idle-timeout) is negative"),
        ("--drain-deadline", "0s", "timeouts.drain = \"0s\" (flag --drain-deadline) is zero"),
        ("--max-connections", "0", "limits.connections = \"0\" (flag --max-connections) is zero"),
        ("--concurrency", "", "limits.concurrency = \"\" (flag --concurrency) is empty"),
        ("--workload", "md5", "workload.kind = \"md5\" (flag --workload) is unknown"),
        ("--flush", "every:0", "flush.policy = \"every:0\" (flag --flush) is zero"),
        ("--listen", "9000", "server.listen = \"9000\" (flag --listen) has no port"),
        ("--log-level", "loud", "log.level = \"loud\" (flag --log-level) is unknown"),
    ] {
        let sentence = refusal(&["serve", flag, value]);
        assert!(sentence.starts_with(start) && sentence.contains(": expected "), "{sentence}");
    }
}

#[test]
fn an_unknown_profile_names_the_four() {
    assert_eq!(
        refusal(&["--profile", "fast"]),
        "unknown profile \"fast\" (flag --profile): expected baseline-10k, buffered-10k, \
         buffered-30k or sha256-30k"
    );
}

#[test]
fn unknown_keys_and_variables_get_the_nearest_one() {
    let file = TempFile::new("[limits]\n\nconections = 5\n");
    assert_eq!(
        refusal(&["--config", file.name()]),
        format!(
            "unknown key limits.conections (file {}:3): the nearest valid key is \
             limits.connections",
            file.name()
        )
    );
    assert_eq!(
        refusal_in(&[("TOWLINE_LIMITS__CONECTIONS", "5")], &[]),
        "unknown environment variable TOWLINE_LIMITS__CONECTIONS: the nearest valid one is \
         TOWLINE_LIMITS__CONNECTIONS"
    );
}

#[test]
fn a_port_below_1024_without_the_capability_is_refused_by_the_name_of_the_capability() {
    let prepare = "echo 1024 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let Some(mut namespace) = network_namespace(prepare) else { return };
    if !can("setpriv --bounding-set -net_bind_service true") {
        return;
    }
    let run = Run::of(namespace.args(["setpriv", "--bounding-set", "-net_bind_service"]).args([
        env!("CARGO_BIN_EXE_towline"),
        "serve",
        "--listen",
        "127.0.0.1:1023",
    ]));
    let sentence = "towline: server.listen = \"127.0.0.1:1023\" cannot be listened on: permission \
                    denied; ports below 1024 need CAP_NET_BIND_SERVICE, expected a higher one";
    // Behind the log.
    assert_eq!((run.code, run.stderr.lines().last()), (2, Some(sentence)));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    assert_eq!(
        refusal(&["--config", "/no/such/file"]),
        "cannot read the configuration file /no/such/file (flag --config): No such file or \
         directory (os error 2)"
    );
}

#[test]
fn several_mistakes_get_a_line_each() {
    let run = towline(&["config", "--max-line", "64k", "--workload", "md5"]);
    assert_eq!(run.code, 2);
    assert_eq!(run.stderr.lines().count(), 2, "{}", run.stderr);
    assert!(run.stderr.lines().all(|line| line.starts_with("towline: ")));
}
