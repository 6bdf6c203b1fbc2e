//! `towline ctl` against `towline serve`, of one process and of several.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use towline_test_support::{
    Run, ServerProcess, TempFile, refusal, towline, towline_in, wait_until,
};

const ADMIN: &str = "towline_connections_closed_total{reason=\"admin\"}";
const DRAIN: &str = "towline_connections_closed_total{reason=\"drain\"}";
const ACTIVE: &str = "towline_connections_active";

/// A server with an admin socket.
struct Server {
    process: ServerProcess,
    socket: TempFile,
}

impl Server {
    fn start(processes: &str, flags: &[&str]) -> Self {
        let socket = TempFile::absent();
        let own = ["--processes", processes, "--threads", "1", "--admin-socket", socket.name()];
        Self { process: ServerProcess::start(&[], &[&own[..], flags].concat()), socket }
    }

    /// Runs `towline ctl` without a terminal.
    fn ctl(&self, arguments: &[&str]) -> Run {
        towline(&[&["ctl", "--socket", self.socket.name()], arguments].concat())
    }

    /// Standard output of a command that succeeds.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let Run { code, stdout, stderr } = self.ctl(arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        stdout
    }

    /// The sentence of a command that fails with `code`.
    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let Run { code: actual, stdout, stderr } = self.ctl(arguments);
        assert_eq!((actual, stdout.as_str()), (code, ""), "{arguments:?} {stderr}");
        stderr.strip_prefix("towline: ").unwrap().trim_end().to_owned()
    }

    /// The ids of the open connections, the newest first.
    fn ids(&self) -> Vec<String> {
        let list = self.process.get("/connections?sort=age&limit=1000");
        let ids = list.split("\"id\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        ids.map(str::to_owned).collect()
    }
}

fn in_both(test: impl Fn(&str)) {
    test("1");
    test("2");
}

#[test]
fn a_connection_is_closed_by_its_id_in_order_and_counted() {
    in_both(|processes| {
        let server = Server::start(processes, &[]);
        let mut clients = server.process.connect_many(4);
        let ids = server.ids();
        assert_eq!(ids.len(), 4, "{ids:?}");
        assert_eq!(server.done(&["kill", &ids[1], &ids[2]]), "closing 2 connections\n");
        server.process.metric_when(ADMIN, |closed| closed == 2.0);
        let mut closed = 0;
        clients.retain_mut(|client| {
            let end = client.ended();
            // An orderly end: no reset.
            closed += usize::from(end.as_ref().is_some_and(Result::is_ok));
            end.is_none()
        });
        assert_eq!((closed, clients.len()), (2, 2));
        clients.iter_mut().for_each(|client| client.ask("still\n", "still\n"));
        let sentence = format!("no such connection: {}, 7-1 (closing 1 connection)", ids[1]);
        wait_until("the end of the first", || !server.ids().contains(&ids[1]));
        assert_eq!(server.fails(1, &["kill", &ids[1], "7-1", &ids[0]]), sentence);
        let sentence = "\"17\" is no connection: expected an id such as 0-17";
        assert_eq!(server.fails(1, &["kill", "17"]), sentence);
    });
}

#[test]
fn connections_are_closed_by_conditions_after_a_question() {
    in_both(|processes| {
        let server = Server::start(processes, &[]);
        let clients = server.process.connect_many(4);
        let all = ["kill", "--match", "peer=127.0.0.0/8"];
        let sentence =
            "closes 4 of 4 connections: go on? There is no terminal to ask on: add --yes if so";
        assert_eq!(server.fails(2, &all), sentence);
        assert_eq!(server.fails(2, &["kill", "--match", ""]), sentence);
        assert_eq!(server.process.metric(ACTIVE), 4.0);
        assert_eq!(server.done(&["kill", "--match", "lines>1"]), "no connection matches\n");
        let bad = server.fails(1, &["kill", "--match", "colour=red"]);
        assert!(bad.starts_with("\"colour=red\" is no condition: expected peer=ADDRESS"), "{bad}");
        let port = clients[0].local_addr().unwrap().port();
        let one = format!("peer=127.0.0.1:{port}");
        assert_eq!(server.done(&["kill", "--yes", "--match", &one]), "closing 1 connection\n");
        server.process.metric_when(ADMIN, |closed| closed == 1.0);
        assert_eq!(server.done(&["kill", "--yes", "--match", ""]), "closing 3 connections\n");
        server.process.metric_when(ACTIVE, |active| active == 0.0);
        server.process.metric_when(ADMIN, |closed| closed == 4.0);
    });
}

/// An orderly close waits for the replies to be read, which a peer that never reads keeps it from.
#[test]
fn a_peer_that_never_reads_is_closed_at_once_with_now_and_after_a_while_without() {
    for (processes, now) in [("1", &["--now"][..]), ("2", &[])] {
        let server = Server::start(processes, &["--write-timeout", "off"]);
        let mut stuck = server.process.connect();
        stuck.send_until_stuck();
        let kill = [&["kill", "--yes", "--match", "state=write_wait"], now].concat();
        assert_eq!(server.done(&kill), "closing 1 connection\n");
        server.process.metric_when(ADMIN, |closed| closed == 1.0);
    }
}

#[test]
fn a_share_is_closed_the_oldest_first_and_one_at_a_time() {
    in_both(|processes| {
        let server = Server::start(processes, &[]);
        let mut clients = server.process.connect_many(10);
        assert_eq!(
            server.done(&["drain", "--share", "30%", "--over", "1h"]),
            "closing 3 connections over 3600s\n"
        );
        let refused = server.fails(1, &["drain", "--share", "0.1"]);
        assert!(refused.starts_with("a share is being closed for 3"), "{refused}");
        assert!(refused.ends_with(" s more: one at a time"), "{refused}");
        clients.iter_mut().for_each(|client| client.ask("still\n", "still\n"));

        let server = Server::start(processes, &[]);
        let mut clients = server.process.connect_many(10);
        server.done(&["drain", "--share", "30%", "--over", "200ms"]);
        server.process.metric_when(DRAIN, |closed| closed == 3.0);
        for (index, client) in clients.iter_mut().enumerate() {
            let ended = client.ended().is_some_and(|end| end.is_ok());
            // Processes are asked one after the other, so that ages differ by that.
            assert!(processes != "1" || ended == (index < 3), "client {index}");
        }
        assert_eq!(server.process.metric(ACTIVE), 7.0);
        for wrong in ["0%", "101%", "ten"] {
            assert!(server.fails(2, &["drain", "--share", wrong]).contains("expected a share"));
        }
    });
}

#[test]
fn a_drain_ends_the_server_as_sigterm_does() {
    in_both(|processes| {
        let server = Server::start(processes, &["--log-level", "error"]);
        let clients = server.process.connect_many(2);
        assert_eq!(server.done(&["drain"]), "draining 2 connections, and then the server stops\n");
        drop(clients);
        let run = server.process.end();
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(!server.socket.path().exists(), "the socket's file is removed");
    });
}

#[test]
fn settings_reach_all_processes_and_a_reload_keeps_them() {
    in_both(|processes| {
        let file = TempFile::new("[limits]\nline_bytes = 100\n");
        let server = Server::start(processes, &["--config", file.name()]);
        let too_long = |bytes: usize| {
            wait_until(format!("a limit below {bytes}"), || {
                let mut client = server.process.connect();
                client.send("x".repeat(bytes) + "\n");
                client.read_line() == "ERR line too long\n"
            });
        };
        assert_eq!(
            server.done(&["set", "limits.line_bytes=3", "timeouts.idle=5m"]),
            "limits.line_bytes = \"3B\"  # set at run time\ntimeouts.idle = \"5m\"  # set at run time\n"
        );
        too_long(4);
        file.write("[limits]\nline_bytes = 50\n");
        assert_eq!(
            server.done(&["reload"]),
            "configuration reloaded\n\
             limits.line_bytes is still as it was set at run time: `towline ctl set \
             limits.line_bytes=` withdraws it\n\
             timeouts.idle is still as it was set at run time: `towline ctl set timeouts.idle=` \
             withdraws it\n"
        );
        too_long(4);
        let withdrawn = server.done(&["set", "limits.line_bytes="]);
        assert!(withdrawn.starts_with("limits.line_bytes = \"50B\"  # file "), "{withdrawn}");
        too_long(51);
        server.process.connect().ask("x".repeat(50) + "\n", "x".repeat(50) + "\n");

        let sentence =
            "server.threads takes effect on restart, so it cannot be set while the server runs";
        assert_eq!(server.fails(1, &["set", "server.threads=4"]), sentence);
        file.write("[limits]\nline_bytes = \"x\"\n");
        let failed = server.fails(1, &["reload"]);
        assert!(
            failed.starts_with("configuration not reloaded: limits.line_bytes = \"x\""),
            "{failed}"
        );
        assert_eq!(server.process.metric("towline_config_last_reload_successful"), 0.0);
    });
}

#[test]
fn the_level_of_the_log_changes_at_once() {
    in_both(|processes| {
        let server = Server::start(processes, &["--log-level", "error"]);
        assert_eq!(server.done(&["log", "info"]), "log.level = \"info\"  # set at run time\n");
        assert_eq!(
            server.done(&["set", "timeouts.idle=5m"]),
            "timeouts.idle = \"5m\"  # set at run time\n"
        );
        assert_eq!(server.done(&["log", "-"]), "log.level = \"error\"  # flag --log-level\n");
        server.done(&["set", "timeouts.idle=6m"]);
        let sentence = server.fails(1, &["log", "loud"]);
        assert_eq!(
            sentence,
            "log.level = \"loud\" (set at run time) is unknown: expected error, warn, info, debug or trace"
        );
        server.done(&["drain"]);
        let log = server.process.end().stderr;
        assert!(log.contains("key=\"timeouts.idle\" value=5m before=off"), "{log}");
        assert!(!log.contains("6m"), "{log}");
    });
}

#[test]
fn figures_are_printed_and_as_json() {
    in_both(|processes| {
        let server = Server::start(processes, &[]);
        let _clients = server.process.connect_many(3);
        let text = server.done(&["stats"]);
        let figure = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).split_whitespace().last().unwrap()
        };
        assert_eq!(figure("stage"), "accepting");
        assert_eq!(figure("connections.open"), "3");
        assert_eq!(figure("lines.processed.ok"), "3");
        let json = server.done(&["stats", "--json"]);
        assert!(json.starts_with("{\"bytes\":") && json.ends_with("}\n"), "{json}");
        let json = server.done(&["kill", "--json", "--yes", "--match", ""]);
        assert!(json.contains("\"closed\":3"), "{json}");
    });
}

#[test]
fn a_server_that_is_not_there_gets_one_sentence() {
    let nothing = TempFile::absent();
    let stale = TempFile::absent();
    drop(UnixListener::bind(stale.path()).unwrap());
    let file = TempFile::new("");
    for (path, why) in [
        (
            nothing.name(),
            "there is no such socket: give --socket PATH, or --admin ADDR and --token-file FILE",
        ),
        (stale.name(), "no server listens there; it has left its file behind"),
        (file.name(), "no server listens there; it has left its file behind"),
    ] {
        for run in [
            towline(&["ctl", "--socket", path, "stats"]),
            towline_in(&[("TOWLINE_ADMIN__SOCKET", path)], &["ctl", "stats"]),
        ] {
            assert_eq!((run.code, run.stderr), (1, format!("towline: {path}: {why}\n")));
        }
    }
    let run = towline(&["ctl", "--admin", "127.0.0.1:1", "stats"]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (1, "towline: 127.0.0.1:1: no server listens there\n")
    );
}

#[test]
fn the_port_takes_commands_with_the_token() {
    let token = TempFile::new("0123456789abcdef0123456789abcdef\n");
    let mode = |mode| fs::set_permissions(token.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    let server = ServerProcess::start(&[], &["--admin-token-file", token.name()]);
    let admin = server.admin().to_string();
    let ctl = |arguments: &[&str]| towline(&[&["ctl", "--admin", &admin], arguments].concat());
    let run = ctl(&["--token-file", token.name(), "set", "timeouts.idle=5m"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "timeouts.idle = \"5m\"  # set at run time\n"));
    assert_eq!(ctl(&["stats"]).code, 0, "figures need no token");
    let run = ctl(&["set", "timeouts.idle=6m"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("expected the header `Authorization: Bearer TOKEN`"), "{run:?}");
    mode(0o644);
    let sentence = refusal(&[
        "serve",
        "--log-level",
        "error",
        "--admin-token-file",
        token.name(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    assert!(sentence.contains("can be used by others (its mode is 644)"), "{sentence}");
}

#[test]
fn a_command_line_that_is_wrong_is_refused() {
    for (arguments, sentence) in [
        (
            &["ctl", "set", "limits.connections"][..],
            "\"limits.connections\" is no setting: expected KEY=VALUE, such as limits.connections=5000",
        ),
        (&["ctl", "set", "a=1", "a=2"], "a is given twice: give it once"),
        (
            &["ctl", "--token-file", "/dev/null", "stats"],
            "--token-file /dev/null: expected a token on one line, of ASCII without spaces",
        ),
        (
            &["ctl", "--admin", "nowhere", "stats"],
            "--admin \"nowhere\" has no port: expected an address such as 127.0.0.1:9464",
        ),
    ] {
        assert_eq!(refusal(arguments), sentence);
    }
    for arguments in [
        &["ctl", "kill"][..],
        &["ctl", "drain", "--over", "5s"],
        &["ctl", "log"],
        &["ctl", "nothing"],
    ] {
        refusal(arguments);
    }
}
