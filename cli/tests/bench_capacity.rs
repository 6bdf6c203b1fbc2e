//! `towline bench capacity` as a process: with room for all connections, and with limits in the way.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::process::Command;

use serde_json::Value;
use towline_test_support::{network_namespace, refusal, towline};

const TOWLINE: &str = env!("CARGO_BIN_EXE_towline");
/// A short run that passes on a busy machine too.
const BRIEF: [&str; 9] =
    ["bench", "capacity", "--quiet", "--hold=1s", "--every=1s", "--p99=60s", "--json", "-", "-c"];

fn brief(command: &mut Command, connections: &str, more: &[&str]) -> (i32, Value) {
    let output = command.args(BRIEF).arg(connections).args(more).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let result = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), result)
}

#[test]
fn all_connections_are_held_and_every_line_is_answered() {
    let (code, result) = brief(&mut Command::new(TOWLINE), "200", &[]);
    assert_eq!((code, &result["verdict"]), (0, &"passed".into()), "{result:#}");
    assert_eq!((&result["held"], &result["established"]), (&200.into(), &200.into()));
    assert_eq!((&result["closed_early"], &result["lines_lost"]), (&0.into(), &0.into()));
    assert_eq!(result["lines_sent"], result["lines_checked"]);
    // A line of each is due in the second of the hold; on a busy machine the last ones are late for it.
    assert!(result["lines_checked"].as_u64().unwrap() >= 100, "{result:#}");
    assert_eq!(result["ramp"]["curve"].as_array().unwrap().last().unwrap()["connections"], 200);
    assert_eq!(result["doctor"]["expected"], 200);
    assert_eq!(result["doctor"]["difference_percent"], 0.0);
    for figure in ["server_resident_bytes", "generator_resident_bytes", "available_bytes_left"] {
        assert!(result["memory"][figure].as_f64().unwrap() > 0.0, "{figure}: {result:#}");
    }
    assert!(result["first_wall"].is_null() && result["against"].as_array().unwrap().is_empty());
}

#[test]
fn silent_connections_are_kept_by_heartbeats() {
    let flags = ["--server-flag=--heartbeat=200ms", "--every=60s", "--hold=2s"];
    let mut command = Command::new(TOWLINE);
    let output =
        command.args(&BRIEF[..3]).args(&BRIEF[5..]).arg("20").args(flags).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["heartbeats_sent"].as_f64().unwrap() > 0.0, "{result:#}");
    assert_eq!((&result["heartbeats_missed"], &result["held"]), (&0.0.into(), &20.into()));
}

#[test]
fn too_few_descriptors_are_the_limit_that_doctor_named() {
    let mut command = Command::new("prlimit");
    let (code, result) =
        brief(command.args(["--nofile=200", TOWLINE]), "400", &["--processes", "1"]);
    assert_eq!((code, &result["verdict"]), (3, &"not_reached".into()), "{result:#}");
    assert_eq!(result["first_wall"]["name"], "descriptors a process");
    assert_eq!(result["doctor"]["first_wall"], "descriptors a process");
    assert!(result["doctor"]["difference_percent"].as_f64().unwrap().abs() <= 5.0, "{result:#}");
}

#[test]
fn the_ports_of_a_namespace_are_the_limit_that_doctor_named() {
    let ports = "echo '20000 20399' > /proc/sys/net/ipv4/ip_local_port_range";
    let Some(mut command) = network_namespace(ports) else { return };
    let (code, result) = brief(command.arg(TOWLINE), "800", &["--sources", "127.0.0.1"]);
    assert_eq!((code, &result["verdict"]), (3, &"not_reached".into()), "{result:#}");
    assert_eq!(result["first_wall"]["name"], "local ports");
    assert_eq!(
        (&result["doctor"]["first_wall"], &result["doctor"]["expected"]),
        (&"local ports".into(), &400.into())
    );
    assert!(result["doctor"]["difference_percent"].as_f64().unwrap().abs() <= 5.0, "{result:#}");
}

/// Doctor's own prediction, and then the measurement, in a network namespace with limits set by the
/// shell commands `words`; `None` where a namespace is not permitted.
fn predicted_and_measured(words: &str, connections: &str, flags: &[&str]) -> Option<[Value; 2]> {
    let mut doctor = network_namespace(words)?;
    doctor.args([TOWLINE, "doctor", "--side", "both", "--json", "-c", connections]).args(
        // Doctor takes a number of source addresses, not the addresses.
        flags.iter().map(|flag| if flag.contains('.') { "1" } else { flag }),
    );
    let said = doctor.output().unwrap();
    let predicted = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&said.stderr)));
    let (_, measured) = brief(network_namespace(words)?.arg(TOWLINE), connections, flags);
    Some([predicted, measured])
}

#[test]
fn doctor_is_within_five_percent_of_what_is_measured_and_names_the_limit() {
    let ports = "echo '20000 20299' > /proc/sys/net/ipv4/ip_local_port_range";
    let queue = "echo 64 > /proc/sys/net/core/somaxconn";
    let one = ["--sources", "127.0.0.1"];
    let cases: [(&str, &str, &[&str], Option<&str>); 5] = [
        (ports, "700", &one, Some("local ports")),
        ("ulimit -n 160", "700", &["--processes", "3"], Some("descriptors a process")),
        (&format!("{ports} && {queue} && ulimit -n 160"), "700", &one, Some("local ports")),
        // More processes have more descriptors, and a short queue only slows the ramp.
        (&format!("{queue} && ulimit -n 160"), "500", &["--processes", "auto"], None),
        ("ulimit -n 400", "300", &["--processes", "1"], None),
    ];
    for (words, connections, flags, wall) in cases {
        let Some([predicted, measured]) = predicted_and_measured(words, connections, flags) else {
            return;
        };
        let largest = predicted["prediction"]["connections"].as_f64().unwrap();
        let expected = largest.min(connections.parse().unwrap());
        let held = measured["held"].as_f64().unwrap();
        let off = (held - expected).abs() / expected;
        assert!(off <= 0.05, "{words}: {held} held, {expected} predicted: {measured:#}");
        assert_eq!(measured["first_wall"]["name"].as_str(), wall, "{words}: {measured:#}");
        if let Some(wall) = wall {
            let walls = predicted["prediction"]["walls"].as_array().unwrap();
            let stands = walls.iter().find(|wall| wall["passable"] == false).unwrap();
            assert_eq!(stands["name"], wall, "{words}: {predicted:#}");
        }
    }
}

#[test]
fn late_replies_fail_the_run() {
    let run = towline(&[
        "bench", "capacity", "-c", "20", "--hold", "1s", "--every", "1s", "--p99", "1us", "--quiet",
    ]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("FAILED") && run.stdout.contains("99th percentile"), "{run:?}");
}

#[test]
fn flags_out_of_bounds_are_refused_in_a_sentence() {
    for (flag, value) in
        [("-c", "0"), ("-c", "many"), ("--hold", "long"), ("--processes", "0"), ("--sources", "x")]
    {
        assert!(refusal(&["bench", "capacity", flag, value]).contains(value), "{flag} {value}");
    }
}
