//! `towline doctor` on the real host, in limits and namespaces of the test's own.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
    sync::mpsc,
    thread,
};

use rustix::process::Signal;
use serde_json::Value;
use towline_test_support::{
    Namespace, PATIENCE, Run, can, network_namespace, refusal, towline, towline_in,
};

const TOWLINE: &str = env!("CARGO_BIN_EXE_towline");

fn ran(command: &mut Command) -> Run {
    Run::of(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
}

/// Runs the doctor in a network namespace of its own, with a sysctl set; `None` where that is not
/// permitted.
fn in_namespace(knob: &str, value: &str, arguments: &str) -> Option<Value> {
    in_namespace_by("env", knob, value, arguments)
}

/// Like [`in_namespace`], started by the program `by`.
fn in_namespace_by(by: &str, knob: &str, value: &str, arguments: &str) -> Option<Value> {
    let file = format!("/proc/sys/{}", knob.replace('.', "/"));
    let mut doctor = network_namespace(&format!("echo '{value}' > {file}"))?;
    doctor
        .args(by.split(' '))
        .args([TOWLINE, "doctor", "--json"])
        .args(arguments.split_whitespace());
    let run = ran(&mut doctor);
    Some(serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}")))
}

#[track_caller]
fn row<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["rows"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no row {name}"))
}

#[test]
fn rows_flip_with_sysctls_of_a_real_namespace() {
    let server = "-c 100k --burst 10k";
    let cases = [
        ("net.core.somaxconn", "5000", "4999", "fail", server),
        ("net.ipv4.tcp_max_syn_backlog", "5000", "4999", "warn", server),
        ("net.ipv4.tcp_syncookies", "1", "0", "warn", server),
        ("net.ipv4.tcp_abort_on_overflow", "0", "1", "warn", server),
        ("net.ipv4.tcp_synack_retries", "3", "4", "warn", server),
        ("net.ipv4.tcp_fin_timeout", "30", "31", "warn", server),
        ("net.ipv4.tcp_max_tw_buckets", "100000", "99999", "warn", server),
        ("net.ipv4.tcp_fastopen", "1", "3", "warn", server),
        // A server sets its receive buffers itself; a generator's grow.
        (
            "net.ipv4.tcp_rmem",
            "4096 16384 1048576",
            "4096 16384 1048577",
            "warn",
            "--side load -c 100k --burst 10k",
        ),
        ("net.ipv4.tcp_wmem", "4096 16384 262144", "4096 16384 262145", "warn", server),
        (
            "net.ipv4.ip_local_port_range",
            "20000 20999",
            "20000 20998",
            "fail",
            "--side load -c 1000",
        ),
        ("net.ipv4.tcp_tw_reuse", "1", "2", "warn", "--side load -c 1000"),
    ];
    for (knob, enough, less, verdict, arguments) in cases {
        let Some(at) = in_namespace(knob, enough, arguments) else { return };
        assert_eq!(row(&at, knob)["verdict"], "ok", "{knob} = {enough}");
        let Some(below) = in_namespace(knob, less, arguments) else { return };
        assert_eq!(row(&below, knob)["verdict"], verdict, "{knob} = {less}");
        let fix = row(&below, knob)["fix"].as_str().unwrap();
        assert!(fix.contains(knob), "{fix}");
    }
}

#[test]
fn rows_that_depend_on_settings_or_privileges_flip_with_sysctls_too() {
    let long_lines = "env TOWLINE_LIMITS__LINE_BYTES=1MiB";
    // Root may listen on any port.
    let unprivileged = "setpriv --bounding-set -net_bind_service";
    if !can(&format!("{unprivileged} true")) {
        return;
    }
    let cases = [
        (long_lines, "net.ipv4.tcp_slow_start_after_idle", "0", "1", "warn"),
        (unprivileged, "net.ipv4.ip_unprivileged_port_start", "9000", "9001", "fail"),
    ];
    for (by, knob, enough, less, verdict) in cases {
        let Some(at) = in_namespace_by(by, knob, enough, "") else { return };
        assert_eq!(row(&at, knob)["verdict"], "ok", "{knob} = {enough}");
        let Some(below) = in_namespace_by(by, knob, less, "") else { return };
        assert_eq!(row(&below, knob)["verdict"], verdict, "{knob} = {less}");
    }
}

#[test]
fn ports_that_are_reserved_are_no_ports_to_come_from() {
    let knob = "net.ipv4.ip_local_reserved_ports";
    let largest = |reserved: &str| {
        let report = in_namespace(knob, reserved, "--side load -c 100")?;
        report["prediction"]["connections"].as_u64()
    };
    let (Some(with), Some(without)) = (largest("40000-40009"), largest("")) else { return };
    assert_eq!(with, without - 10);
}

#[test]
fn a_namespace_does_not_see_what_only_the_host_has() {
    let Some(report) = in_namespace("net.core.somaxconn", "4096", "") else { return };
    let hidden = row(&report, "net.ipv4.tcp_mem");
    assert_eq!((hidden["verdict"].as_str(), &hidden["value"]), (Some("unknown"), &Value::Null));
}

#[test]
fn the_prediction_follows_the_ports_of_a_namespace() {
    let Some(report) =
        in_namespace("net.ipv4.ip_local_port_range", "20000 20499", "--side load -c 400")
    else {
        return;
    };
    assert_eq!(report["prediction"]["connections"], 500);
    assert_eq!(report["prediction"]["first_wall"]["name"], "local ports");
}

#[test]
fn a_descriptor_limit_is_the_first_wall_and_decides_the_exit_code() {
    let limited = |limit: &str, arguments: &[&str]| {
        ran(Command::new("prlimit")
            .arg(format!("--nofile={limit}"))
            .arg(TOWLINE)
            .arg("doctor")
            .args(arguments))
    };
    if !can("prlimit --nofile=1000 true") {
        return;
    }
    let run = limited("200", &["--connections", "1000"]);
    assert_eq!(run.code, 1, "{run:?}");
    let said = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("the first limit reached is descriptors a process (200), at"), "{said}");
    assert!(said.contains("FAIL RLIMIT_NOFILE 200"), "{said}");
    assert!(said.contains("fix: --processes"), "{said}");

    let report = limited("1000", &["--connections", "500", "--json"]).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(row(&report, "RLIMIT_NOFILE")["verdict"], "ok");
}

#[test]
fn the_json_object_has_the_documented_fields() {
    let run = towline(&["doctor", "-c", "50k", "--burst", "2k", "--side", "both", "--json"]);
    assert!(run.stderr.is_empty() && matches!(run.code, 0 | 1), "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        fields(&report),
        ["answer", "place", "prediction", "rows", "target", "tls", "verdict"]
    );
    assert_eq!(report["tls"], Value::Null);
    let target = &report["target"];
    assert_eq!((&target["connections"], &target["burst"]), (&50_000.into(), &2_000.into()));
    assert_eq!((&target["side"], &target["processes"]), (&"both".into(), &Value::Null));
    let prediction = &report["prediction"];
    assert_eq!(fields(prediction), ["connections", "first_wall", "processes", "walls"]);
    assert_eq!(prediction["first_wall"], prediction["walls"][0]);
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.len() > 30);
    for row in rows {
        assert_eq!(
            fields(row),
            ["fix", "name", "need", "scope", "sides", "value", "verdict", "why"]
        );
        assert!(["ok", "unknown", "warn", "fail"].contains(&row["verdict"].as_str().unwrap()));
        assert!(!row["sides"].as_array().unwrap().is_empty());
    }
    let fails = rows.iter().any(|row| row["verdict"] == "fail");
    assert_eq!(fails, run.code == 1);
    assert_eq!(fails, report["verdict"] == "fail");
}

#[test]
fn emitted_fragments_are_of_their_kind() {
    let emit = |form| towline(&["doctor", "-c", "10m", "--burst", "10m", "--emit", form]).stdout;
    let said = |text: String| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let sysctls = said(emit("sysctl"));
    assert!(!sysctls.is_empty());
    for line in &sysctls {
        let (key, value) = line.split_once(" = ").unwrap();
        assert!(key.split('.').count() >= 2 && !value.is_empty(), "{line}");
    }
    let unit = said(emit("systemd"));
    assert_eq!(unit[0], "[Service]");
    assert!(unit[1..].iter().all(|line| line.contains('=')), "{unit:?}");
    for form in ["compose", "kubernetes"] {
        for line in said(emit(form)) {
            let text = line.trim_start();
            let key = text.strip_prefix("- ").unwrap_or(text).split_once(':').unwrap().0;
            assert!(!key.contains(' ') && (line.len() - text.len()) % 2 == 0, "{line}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_in_a_sentence() {
    for (arguments, named) in [
        (["doctor", "--connections", "0"], "0"),
        (["doctor", "--connections", "many"], "many"),
        (["doctor", "--burst", "-1"], "-1"),
        (["doctor", "--processes", "5000"], "5000"),
        (["doctor", "--processes", "some"], "some"),
        (["doctor", "--side", "middle"], "middle"),
        (["doctor", "--emit", "ansible"], "ansible"),
        (["doctor", "--active", "101"], "101"),
        (["doctor", "--profile", "nobody"], "nobody"),
    ] {
        assert!(refusal(&arguments).contains(named), "{arguments:?}");
    }
    refusal(&["doctor", "--json", "--emit", "sysctl"]);
}

#[test]
fn the_target_comes_from_the_settings_by_default() {
    let run = towline_in(&[("TOWLINE_LIMITS__CONNECTIONS", "1234")], &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["target"]["connections"], 1234);
    assert_eq!(row(&report, "limits.connections")["value"], "1,234");
}

/// They are found on a thread of low priority beside the server: one that was told to end at once had not said
/// them on a busy machine.
#[test]
fn a_server_logs_the_failing_rows_when_it_starts() {
    let queue = "echo 16 > /proc/sys/net/core/somaxconn";
    let Some(mut net) = Namespace::start(queue, &[], &["--max-connections", "150"]) else { return };
    let log = BufReader::new(net.log()).lines();
    let (sender, lines) = mpsc::sync_channel(1);
    thread::spawn(move || log.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let fix = "sysctl -w net.core.somaxconn=4096";
    let mut line = String::new();
    while !line.contains(fix) {
        line = lines.recv_timeout(PATIENCE).unwrap();
    }
    assert!(line.contains("WARN"), "{line}");
    net.enter(|server| server.signal(Signal::TERM));
    assert_eq!(net.end().code, 0);
}

#[test]
fn handshakes_are_measured_where_the_flag_or_the_settings_say_tls() {
    let json = |run: Run| -> Value { serde_json::from_str(&run.stdout).unwrap() };
    let configured = ["TOWLINE_TLS__CERT", "TOWLINE_TLS__KEY"].map(|name| (name, "/tls/file"));
    let flag = json(towline(&["doctor", "-c", "10k", "--json", "--tls"]));
    for report in [flag, json(towline_in(&configured, &["doctor", "-c", "10k", "--json"]))] {
        let rates = &report["tls"]["handshakes_per_core_second"];
        let (full, resumed) = (rates["full"].as_f64().unwrap(), rates["resumed"].as_f64().unwrap());
        assert!(full > 1.0 && resumed > 1.0, "{rates}");
        assert!(report["tls"]["reconnect_seconds"]["full"].as_f64().unwrap() > 0.0);
        assert_eq!(
            (&report["target"]["tls"], &row(&report, "TLS handshakes")["scope"]),
            (&true.into(), &"host".into())
        );
    }
    // A generator's host computes the other half, which a run measures.
    let load = json(towline(&["doctor", "-c", "10k", "--json", "--tls", "--side", "load"]));
    assert_eq!((&load["tls"], &load["target"]["tls"]), (&Value::Null, &true.into()));
}
