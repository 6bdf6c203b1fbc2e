//! `towline top`: the connections of a server in a terminal, and on paper.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{path::Path, thread};

use towline_test_support::{
    Client, Run, ServerProcess, TempFile, Terminal, refusal, towline, wait_until,
};

fn server() -> ServerProcess {
    ServerProcess::start(&[], &["--write-timeout", "10m"])
}

#[test]
fn a_server_is_asked_by_its_name_and_by_its_admin_socket() {
    let socket = TempFile::absent();
    let server = ServerProcess::start(&[], &["--admin-socket", socket.name()]);
    let _clients = server.connect_many(2);
    let by_name = format!("localhost:{}", server.admin().port());
    let by_socket = format!("unix:{}", socket.name());
    for address in [&by_name, &by_socket] {
        let run = towline(&["top", address, "--once"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.starts_with(&format!("{address} towline ")), "{run:?}");
        assert_eq!(run.stdout.lines().count(), 4, "{run:?}");
    }
}

/// Clients that send and do not read.
fn stuck(server: &ServerProcess, count: usize) -> Vec<Client> {
    let mut clients = server.connect_many(count);
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.send_until_stuck());
        }
    });
    clients
}

fn once(server: &ServerProcess, flags: &[&str]) -> Run {
    let admin = server.admin().to_string();
    let mut words = vec!["top", &admin];
    words.extend(flags);
    towline(&words)
}

#[test]
fn without_a_terminal_one_table_is_printed_with_those_first_that_do_not_read() {
    let server = server();
    let mut polite = server.connect_many(3);
    for client in &mut polite {
        client.ask("a\n", "a\n");
    }
    let stuck = stuck(&server, 2);
    let run = once(&server, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].contains(": 5 of "), "{run:?}");
    assert!(lines[1].starts_with("ID "), "{run:?}");
    for line in &lines[2..4] {
        assert!(line.contains("write_wait"), "{run:?}");
        assert!(stuck.iter().any(|client| line.contains(&client.local_address().to_string())));
    }
    assert_eq!(lines.len(), 7, "{run:?}");

    let idle = once(&server, &["--once", "--match", "state=idle", "--sort", "age", "--limit", "2"]);
    assert_eq!(idle.stdout.lines().count(), 4, "{idle:?}");
    assert!(idle.stdout.contains("3 match"), "{idle:?}");
    let json = once(&server, &["--json"]);
    assert!(json.stdout.starts_with('{') && json.stdout.ends_with("}\n"), "{json:?}");
}

#[test]
fn wrong_words_and_servers_that_are_not_there_are_named() {
    let server = server();
    let run = once(&server, &["--match", "stuck"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("\"stuck\" is no condition: expected peer=ADDRESS"), "{run:?}");
    let run = towline(&["top", "127.0.0.1:1"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("127.0.0.1:1: Connection refused"), "{run:?}");
    let run = towline(&["top", "127.0.0.1"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("`127.0.0.1` is not an address: expected HOST:PORT"), "{run:?}");
    for flags in [["--sort", "size"], ["--limit", "0"], ["--interval", "1ms"]] {
        let sentence = refusal(&["top", flags[0], flags[1]]);
        assert!(sentence.contains(flags[1]), "{sentence}");
    }
}

#[test]
fn in_a_terminal_keys_sort_filter_and_end() {
    let server = server();
    let admin = server.admin().to_string();
    let arguments = ["top", &admin, "--interval", "200ms"];
    let Some(terminal) = Terminal::towline(120, 20, &arguments) else { return };
    let mut polite = server.connect_many(5);
    for client in &mut polite {
        client.ask("a\n", "a\n");
    }
    let stuck = stuck(&server, 3);
    let rows = || -> Vec<String> {
        let screen = terminal.screen();
        screen
            .lines()
            .skip(2)
            .filter(|line| line.contains("127.0.0.1:"))
            .map(str::to_owned)
            .collect()
    };
    wait_until("the connections are shown", || rows().len() == 8);
    for row in &rows()[..3] {
        assert!(row.contains("write_wait"), "{}", terminal.screen());
        assert!(stuck.iter().any(|client| row.contains(&client.local_address().to_string())));
    }
    wait_until("a cause is found", || rows()[0].contains("peer"));
    terminal.press(&["/", "state=idle", "Enter"]);
    wait_until("those that match are left", || rows().len() == 5);
    terminal.press(&["/", "x", "Enter"]);
    wait_until("what is no condition is named", || terminal.screen().contains("is no state"));
    terminal.press(&["/"]);
    for _ in 0.."state=idlex".len() {
        terminal.press(&["BSpace"]);
    }
    terminal.press(&["Enter"]);
    wait_until("all are shown again", || rows().len() == 8);
    terminal.press(&[">"]);
    wait_until("the next order is in force", || terminal.screen().contains("by unsent"));
    terminal.resize(20, 4);
    wait_until("a small terminal has what fits", || terminal.screen().starts_with("127.0.0.1:"));
    terminal.resize(120, 20);
    drop(server);
    wait_until("a server that is gone is named", || terminal.screen().contains("refused"));
    terminal.press(&["q"]);
    wait_until("the terminal is as it was", || terminal.screen().contains("[exit 0]"));
}

/// A terminal that was closed left a process behind that read its end again and again, a core for each, and that no
/// signal but KILL ended: crossterm does not return then, and the signals set a flag that nothing looked at.
#[test]
fn it_ends_when_its_terminal_is_closed() {
    let server = server();
    // Some of them are closed while it draws, most while it waits for a key.
    for _ in 0..5 {
        let Some(terminal) = Terminal::towline(80, 10, &["top", &server.admin().to_string()])
        else {
            return;
        };
        terminal.wait_for("towline ");
        let process = format!("/proc/{}", terminal.process());
        assert!(Path::new(&process).exists());
        drop(terminal);
        wait_until("its end", || !Path::new(&process).exists());
    }
}
