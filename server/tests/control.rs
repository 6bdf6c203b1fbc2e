//! Commands: what each does, and what is refused with which sentence.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use serde_json::{Value, json};
use support::{TestServer, echo, echo_service};
use towline::{Server, Settings};
use towline_test_support::{
    PATIENCE, TempFile,
    http::{Response, command, command_request, get, get_request, request, try_request_over},
    wait_until,
};

/// A server with an admin socket.
fn with_socket(change: impl FnOnce(&mut Settings)) -> (TestServer, TempFile) {
    let socket = TempFile::absent();
    let server = echo(|settings| {
        settings.admin.socket = Some(socket.path().to_owned());
        change(settings);
    });
    (server, socket)
}

/// The error of a server with these settings that does not start.
fn refused(change: impl FnOnce(&mut Settings)) -> String {
    let mut settings = Settings::default();
    change(&mut settings);
    let server = Server::builder().settings(settings).listen("127.0.0.1:0").admin("127.0.0.1:0");
    let error = server.serve(echo_service()).start().map(|_| ()).unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

#[track_caller]
fn json_of(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    serde_json::from_str(&response.body).unwrap()
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, sentence: &str) {
    assert_eq!((response.status, response.body.as_str()), (status, &*format!("{sentence}\n")));
}

#[test]
fn the_socket_answers_what_the_port_answers_and_only_its_owner_can_connect() {
    let (server, socket) = with_socket(|_| ());
    let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "accepting\n")] {
        let response = try_request_over(socket.path(), &get_request(path)).unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, body));
    }
    let metrics = try_request_over(socket.path(), &get_request("/metrics")).unwrap();
    assert!(metrics.body.contains("towline_connections_active 0"));
    drop(server);
    wait_until("the end of the socket's file", || !socket.path().exists());
}

#[test]
fn the_figures_are_one_json_object_on_the_socket_and_on_the_port() {
    let (server, socket) = with_socket(|_| ());
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    let over_socket = try_request_over(socket.path(), &get_request("/ctl/stats")).unwrap();
    for figures in [over_socket, get(server.admin, "/ctl/stats")] {
        let figures = json_of(&figures);
        assert_eq!(figures["stage"], "accepting");
        assert_eq!(figures["connections"]["open"], 1);
        assert_eq!(figures["lines"]["processed"]["ok"], 1);
    }
}

#[test]
fn a_setting_is_changed_at_once_and_shown_with_its_origin_until_it_is_withdrawn() {
    let (server, socket) = with_socket(|_| ());
    let answer = command(socket.path(), "set", r#"{"limits.line_bytes":3,"timeouts.idle":"5m"}"#);
    let entry = |value: Value| json!({ "value": value, "origin": "set at run time" });
    let expected =
        json!({ "limits.line_bytes": entry(json!("3B")), "timeouts.idle": entry(json!("5m")) });
    assert_eq!(json_of(&answer)["set"], expected);
    let config = json_of(&get(server.admin, "/config"));
    assert_eq!(config["limits.line_bytes"], expected["limits.line_bytes"]);
    wait_until("a line that is too long", || {
        let mut client = server.connect();
        client.send("abcd\n");
        client.read_line() == "ERR line too long\n"
    });
    let answer = json_of(&command(socket.path(), "set", r#"{"limits.line_bytes":null}"#));
    assert_eq!(answer["set"]["limits.line_bytes"]["origin"], "program");
    assert_eq!(server.running().control().settings().limits.line_bytes, 64 * 1024);
}

/// What an operator sets in an incident must not be lost to a deployment that reloads meanwhile.
#[test]
fn a_reload_keeps_what_was_set_at_run_time() {
    let (server, socket) = with_socket(|_| ());
    json_of(&command(socket.path(), "set", r#"{"limits.concurrency":7}"#));
    let mut settings = Settings::default();
    settings.limits.concurrency = 9.try_into().unwrap();
    settings.timeouts.idle = Some(Duration::from_secs(77));
    server.running().reload(settings).unwrap();
    let now = server.running().control().settings();
    assert_eq!(
        (now.limits.concurrency.get(), now.timeouts.idle),
        (7, Some(Duration::from_secs(77)))
    );
    json_of(&command(socket.path(), "set", r#"{"limits.concurrency":null}"#));
    assert_eq!(server.running().control().settings().limits.concurrency.get(), 9);
}

#[test]
fn a_command_that_is_wrong_changes_nothing_and_gets_one_sentence() {
    let (server, socket) = with_socket(|_| ());
    let before = get(server.admin, "/config").body;
    for (name, body, status, sentence) in [
        (
            "set",
            r#"{"limits.line_bytes":"64KiB","server.threads":4}"#,
            400,
            "server.threads takes effect on restart, so it cannot be set while the server runs",
        ),
        (
            "set",
            r#"{"limits.conections":5}"#,
            400,
            "unknown key limits.conections (set at run time): the nearest valid key is \
             limits.connections",
        ),
        (
            "set",
            r#"{"limits.overload":"drop"}"#,
            400,
            "limits.overload = \"drop\" (set at run time) is unknown: expected wait or shed",
        ),
        (
            "set",
            r#"{"limits.connections":[5]}"#,
            400,
            "the value of limits.connections is a list or an object: expected a string, a number, \
             true, false, or null to withdraw it",
        ),
        ("set", "", 400, r#"0 keys are given: expected {"limits.connections":"5000"}"#),
        ("set", "[]", 400, r#"expected a JSON object, such as {"limits.connections":"5000"}"#),
        (
            "drain",
            r#"{"shares":1}"#,
            400,
            "unknown field `shares`, expected `share` or `over_seconds` at line 1 column 9: expected a \
             JSON object such as {\"share\":0.1,\"over_seconds\":60}",
        ),
        ("drain", r#"{"share":1.5}"#, 400, "share = 1.5: expected more than 0, up to 1"),
        (
            "drain",
            r#"{"share":1,"over_seconds":-1}"#,
            400,
            "over_seconds = -1: expected from 0 to 86400",
        ),
        (
            "drain",
            r#"{"over_seconds":1}"#,
            400,
            "over_seconds is given without share: expected {\"share\":0.1,\"over_seconds\":60}, or \
             neither to drain the server",
        ),
        (
            "kill",
            "{}",
            400,
            "expected either ids or match, as in {\"ids\":[\"0-17\"]} or \
             {\"match\":\"state=write_wait\",\"dry_run\":true}",
        ),
        (
            "kill",
            r#"{"ids":["0-17","x"]}"#,
            400,
            "\"x\" is no connection: expected an id such as 0-17",
        ),
        (
            "log",
            r#"{"level":5}"#,
            400,
            "invalid type: integer `5`, expected a string at line 1 column 10: expected a JSON object \
             such as {\"level\":\"debug\"}",
        ),
        (
            "set",
            "{",
            400,
            "EOF while parsing an object at line 1 column 1: expected a JSON object such as \
             {\"limits.connections\":\"5000\"}",
        ),
        ("reload", "", 409, "the program that this server is part of has no configuration to load"),
        (
            "log",
            r#"{"level":"debug"}"#,
            409,
            "the log belongs to the program that this server is part of",
        ),
        ("drain", "", 409, "this server is drained by the program that it is part of"),
        ("nothing", "", 404, "expected /ctl/ and one of drain, kill, log, reload, set or stats"),
    ] {
        assert_refused(&command(socket.path(), name, body), status, sentence);
    }
    let long = command(socket.path(), "set", &" ".repeat(64 * 1024 + 1));
    assert_refused(&long, 413, "the body is longer than 65536 bytes, or incomplete");
    let got = try_request_over(socket.path(), &get_request("/ctl/set")).unwrap();
    assert_refused(&got, 405, "a command is sent by POST");
    assert_eq!(get(server.admin, "/config").body, before);
}

#[test]
fn the_port_takes_no_command_without_a_token_file() {
    let server = echo(|_| ());
    let body = r#"{"timeouts.idle":"5m"}"#;
    let before = get(server.admin, "/config").body;
    for headers in ["", "authorization: Bearer 0123456789abcdef\r\n"] {
        let refusal = request(server.admin, &command_request("set", headers, body));
        let sentence = "this port takes no commands: send them to the socket of admin.socket, or set \
                        admin.token_file";
        assert_refused(&refusal, 403, sentence);
    }
    assert_eq!(get(server.admin, "/config").body, before);
}

#[test]
fn the_port_takes_commands_with_the_token_and_reads_without() {
    let token = TempFile::new("0123456789abcdef\n");
    fs::set_permissions(token.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let server = echo(|settings| settings.admin.token_file = Some(token.path().to_owned()));
    let body = r#"{"timeouts.idle":"5m"}"#;
    for headers in [
        "",
        "authorization: Bearer 0123456789abcdeg\r\n",
        "authorization: Bearer 0123456789abcdef0\r\n",
        "authorization: Basic 0123456789abcdef\r\n",
        "authorization: Bearer\r\n",
        "authorization: Bearer 0123456789abcdef\r\nauthorization: Bearer x\r\n",
    ] {
        let refusal = request(server.admin, &command_request("set", headers, body));
        let sentence = "expected the header `Authorization: Bearer TOKEN` with the token of \
                        admin.token_file";
        assert_refused(&refusal, 401, sentence);
        assert!(refusal.head.contains("www-authenticate: bearer"), "{refusal:?}");
    }
    assert_eq!(get(server.admin, "/readyz").status, 200);
    let headers = "authorization: Bearer 0123456789abcdef\r\n";
    json_of(&request(server.admin, &command_request("set", headers, body)));
    let idle = server.running().control().settings().timeouts.idle;
    assert_eq!(idle, Some(Duration::from_secs(300)));
}

#[test]
fn a_token_file_that_others_can_read_is_empty_or_missing_is_refused_at_start() {
    for (content, mode, sentence) in [
        (
            Some("0123456789abcdef"),
            0o644,
            "can be used by others (its mode is 644): expected 600, or 640",
        ),
        (
            Some("0123456789abcdef"),
            0o602,
            "can be used by others (its mode is 602): expected 600, or 640",
        ),
        (Some(" \n"), 0o600, "is empty: expected a token on one line"),
        (
            Some("short\n"),
            0o600,
            "has a token of 5 bytes: expected 16 at least, such as `openssl rand -hex 32` makes",
        ),
        (
            Some("0123456789abcdef\n0123456789abcdef\n"),
            0o600,
            "has more than a token: expected one line of ASCII without spaces",
        ),
        (None, 0, "cannot be read: No such file or directory (os error 2)"),
    ] {
        let token = TempFile::absent();
        if let Some(content) = content {
            token.write(content);
            fs::set_permissions(token.path(), fs::Permissions::from_mode(mode)).unwrap();
        }
        let error = refused(|settings| settings.admin.token_file = Some(token.path().to_owned()));
        assert_eq!(error, format!("admin.token_file = \"{}\" {sentence}", token.name()));
    }
}

#[test]
fn a_stale_socket_is_taken_over_and_a_foreign_file_or_a_listener_is_refused() {
    let socket = TempFile::absent();
    let start = |settings: &mut Settings| settings.admin.socket = Some(socket.path().to_owned());
    let sentence =
        |why: &str| format!("admin.socket = \"{}\" cannot be listened on: {why}", socket.name());
    socket.write("precious");
    assert_eq!(refused(start), sentence("there is a file that is no socket"));
    assert_eq!(fs::read_to_string(socket.path()).unwrap(), "precious");
    socket.remove();

    let listener = UnixListener::bind(socket.path()).unwrap();
    assert_eq!(refused(start), sentence("the address is in use by another process"));
    UnixStream::connect(socket.path()).unwrap();
    drop(listener);

    // Its file stays behind, as that of a server that was killed.
    assert!(fs::symlink_metadata(socket.path()).unwrap().file_type().is_socket());
    let server = echo(start);
    let alive = try_request_over(socket.path(), &get_request("/healthz")).unwrap();
    assert_eq!(alive.body, "alive\n");
    drop(server);
}

#[test]
fn a_socket_in_a_missing_folder_and_one_of_another_user_are_refused() {
    let folder = TempFile::absent();
    let path = folder.path().join("admin.sock");
    let error = refused(|settings| settings.admin.socket = Some(path.clone()));
    let sentence = "its directory does not exist";
    assert_eq!(
        error,
        format!("admin.socket = \"{}\" cannot be listened on: {sentence}", path.display())
    );

    let socket = TempFile::absent();
    drop(UnixListener::bind(socket.path()).unwrap());
    // Only root can make a file another user's.
    if std::os::unix::fs::chown(socket.path(), Some(65_534), None).is_err() {
        return;
    }
    let error = refused(|settings| settings.admin.socket = Some(socket.path().to_owned()));
    assert!(error.ends_with("user 65534 has a file there, and this server is user 0"), "{error}");
    assert!(socket.path().exists());
}

/// The table of clients has 128 places. Those of the port must not keep an operator out, and those of the
/// socket that send nothing must not either.
#[test]
fn a_command_is_answered_beside_many_clients_that_never_finish() {
    let (server, socket) = with_socket(|_| ());
    let open = || {
        let mut stream = UnixStream::connect(socket.path()).unwrap();
        stream.write_all(b"POST /ctl/set HTTP/1.1\r\n").unwrap();
        stream
    };
    let _slow: Vec<_> = (0..200).map(|_| open()).collect();
    json_of(&command(socket.path(), "set", r#"{"timeouts.idle":"5m"}"#));
    drop(server);
}

#[test]
fn a_command_whose_body_never_comes_is_given_up() {
    let (server, socket) = with_socket(|_| ());
    let mut stream = UnixStream::connect(socket.path()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"POST /ctl/set HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n{").unwrap();
    let mut answer = Vec::new();
    // Closed without an answer, after ten seconds.
    stream.read_to_end(&mut answer).unwrap();
    json_of(&command(socket.path(), "set", r#"{"timeouts.idle":"5m"}"#));
    drop(server);
}
