//! Mistakes, and the sentence that each gets.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::time::Duration;

use support::{from_environment, from_file, from_flag, loaded};
use towline_config::Sources;

fn one(errors: Result<towline_config::Effective, Vec<String>>) -> String {
    let errors = errors.unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_nearest_valid_one() {
    assert_eq!(
        one(from_file("# a comment\n[limits]\nconections = 5\n")),
        "unknown key limits.conections (file FILE:3): the nearest valid key is limits.connections"
    );
    assert_eq!(
        one(from_file("limit.connections = 5\n")),
        "unknown key limit.connections (file FILE:1): the nearest valid key is limits.connections"
    );
    assert_eq!(
        one(from_file("[limits.connections]\nper_ip = 5\n")),
        "limits.connections = \"[limits.connections]\" (file FILE:1) is a section: expected a whole number from 1 to \
         4294967295, such as 10000 or 10k, or auto"
    );
}

#[test]
fn an_unknown_section_without_keys_is_reported_too() {
    assert_eq!(
        one(from_file("\n[limit]\n")),
        "unknown section [limit] (file FILE:2): expected server, admin, workload, flush, limits, \
         push, timeouts, heartbeat, socket, tls, proxy_protocol or log"
    );
    assert_eq!(
        one(from_file("limits = 5\n")),
        "limits (file FILE:1) is a section, not a key: write its keys under [limits]"
    );
}

#[test]
fn mistakes_in_a_file_are_reported_in_the_order_of_the_file() {
    let errors = from_file("[workload]\nkind = \"x\"\n[flush]\nz = 1\na = 1\n").unwrap_err();
    let lines: Vec<_> = errors.iter().map(|error| error.find("FILE:").unwrap()).collect();
    let lines: Vec<_> = errors.iter().zip(lines).map(|(error, at)| &error[at..at + 6]).collect();
    assert_eq!(lines, ["FILE:2", "FILE:4", "FILE:5"]);
}

#[test]
fn toml_numbers_and_booleans_are_accepted_where_they_make_sense() {
    let effective = from_file(
        "server.backlog = 1_024\nlimits.line_bytes = 4096\nlimits.connections = 10_000\n\
         socket.nodelay = false\nlimits.concurrency = \"10k\"\n",
    )
    .unwrap();
    assert_eq!(effective.settings.server.backlog, 1_024);
    assert_eq!(effective.settings.limits.line_bytes, 4_096);
    assert_eq!(effective.settings.limits.connections.unwrap().get(), 10_000);
    assert_eq!(effective.settings.limits.concurrency.get(), 10_000);
    assert!(!effective.settings.socket.nodelay);
}

#[test]
fn a_time_has_a_unit_or_is_in_seconds_in_every_layer() {
    for (written, milliseconds) in
        [("5", 5_000), ("1.5", 1_500), ("250000us", 250), ("1.5m", 90_000), ("0.25d", 21_600_000)]
    {
        let expected = Some(Duration::from_millis(milliseconds));
        let quoted = format!("timeouts.idle = \"{written}\"");
        for effective in [
            from_flag("timeouts.idle", written),
            from_environment(&[("TOWLINE_TIMEOUTS__IDLE", written)]),
            from_file(quoted),
        ] {
            assert_eq!(effective.unwrap().settings.timeouts.idle, expected, "{written}");
        }
    }
    let numbers = from_file("timeouts.idle = 1.5\ntimeouts.line = 5\n").unwrap().settings.timeouts;
    assert_eq!(numbers.idle, Some(Duration::from_millis(1_500)));
    assert_eq!(numbers.line, Some(Duration::from_secs(5)));
}

#[test]
fn a_value_of_the_wrong_type_is_quoted_as_written() {
    for (text, start) in [
        ("timeouts.idle = false", "timeouts.idle = \"false\" (file FILE:1) is not a number"),
        ("timeouts.idle = inf", "timeouts.idle = \"inf\" (file FILE:1) is not a number"),
        ("timeouts.idle = [5]", "timeouts.idle = \"[5]\" (file FILE:1) is a list"),
        ("server.backlog = 1.5", "server.backlog = \"1.5\" (file FILE:1) is not a whole number"),
        (
            "server.backlog = 0xff",
            "server.backlog = \"0xff\" (file FILE:1) is not a decimal number",
        ),
        ("log.level = 2026-01-01", "log.level = \"2026-01-01\" (file FILE:1) is a date"),
        ("server.backlog = -1", "server.backlog = \"-1\" (file FILE:1) is negative"),
    ] {
        let sentence = one(from_file(text));
        assert!(sentence.starts_with(start), "{sentence}");
    }
}

#[test]
fn invalid_toml_is_reported_with_its_line() {
    assert_eq!(
        one(from_file("[log]\nlevel = \"info\"\nlevel = \"warn\"\n")),
        "file FILE:3 is not valid TOML: duplicate key"
    );
    assert!(one(from_file("a = 1\n[b\n")).starts_with("file FILE:2 is not valid TOML: "));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let refusal = |path: &str| {
        let mut sources = Sources::default();
        sources.file = Some(path.into());
        one(loaded(&sources))
    };
    assert_eq!(
        refusal("/no/such\nfile"),
        "cannot read the configuration file /no/such\\nfile (flag --config): No such file or \
         directory (os error 2)"
    );
    assert_eq!(
        refusal("/dev/zero"),
        "cannot read the configuration file /dev/zero (flag --config): it is larger than 1MiB"
    );
    assert!(one(from_file(b"\xff")).ends_with("it is not UTF-8"));
}

#[test]
fn an_error_names_what_is_wrong_with_a_number_or_unit() {
    for (key, text, problem) in [
        ("limits.line_bytes", "64k", "is ambiguous"),
        ("limits.line_bytes", "64 parsecs", "has the unknown unit \"parsecs\""),
        ("limits.line_bytes", "0", "is zero"),
        ("limits.line_bytes", "2GiB", "is more than 1GiB"),
        ("limits.connections", "0", "is zero"),
        ("limits.connections", "1.5", "is not a whole number"),
        ("limits.connections", "5000M", "is more than 4294967295"),
        ("server.threads", "1025", "is more than 1024"),
        ("timeouts.request", "5 parsecs", "has the unknown unit \"parsecs\""),
        ("timeouts.request", "1,5s", "has a comma"),
        ("timeouts.request", "1500us", "is not a whole number of milliseconds"),
        ("timeouts.request", "-5s", "is negative"),
        ("timeouts.drain", "off", "is not a number"),
        ("timeouts.drain", "9000h", "is more than 8760h"),
        ("heartbeat.timeout", "0ms", "is zero"),
        ("socket.keepalive", "1500ms", "is not a whole number of seconds"),
        ("socket.keepalive", "500ms", "is less than 1s"),
        ("flush.policy", "every:0", "is zero"),
        ("flush.policy", "every", "is unknown"),
        ("server.listen", "127.0.0.1", "has no port"),
        ("server.listen", ":9000", "has no address"),
        ("server.listen", "127.0.0.1:99999", "has a port above 65535"),
        ("server.listen", "example.org:9000", "is not an address"),
        ("server.listen", "unix:relative", "is not an absolute path"),
        ("workload.kind", "Echo", "is unknown"),
    ] {
        let key_flag = support::key(key).flag.unwrap_or(key);
        let sentence = one(from_flag(key, text));
        let start = format!("{key} = \"{text}\" (flag {key_flag}) {problem}");
        assert!(sentence.starts_with(&start), "{sentence}");
        assert!(sentence.contains(": expected "), "{sentence}");
    }
}

#[test]
fn an_endless_or_garbled_value_makes_a_short_clean_sentence() {
    let sentence = one(from_flag("workload.kind", &"\u{1b}[2J\n".repeat(100_000)));
    assert!(sentence.len() < 1_000 && !sentence.contains(char::is_control), "{sentence}");
}

#[test]
fn the_admin_port_needs_an_address_of_its_own() {
    assert_eq!(
        one(from_flag("server.admin", "127.0.0.1:9000")),
        "server.admin = \"127.0.0.1:9000\" (flag --admin) is also server.listen: give the admin \
         port an address of its own, or off"
    );
    // Two free ports are two addresses.
    let mut sources = Sources::default();
    sources.flag(support::key("server.listen"), "127.0.0.1:0");
    sources.flag(support::key("server.admin"), "127.0.0.1:0");
    assert!(loaded(&sources).is_ok());
}

#[test]
fn a_mistake_in_a_list_of_listeners_names_the_one_at_fault() {
    for (text, problem) in [
        ("127.0.0.1:1,9001", "has \"9001\", which has no port"),
        ("name=a,127.0.0.1:1", "has \"name=a\" before an address"),
        (
            "127.0.0.1:1,mod=660",
            "has an option \"mod\", not name, proxy_protocol, connections, tls, mode, owner or group",
        ),
        (
            "127.0.0.1:1,mode=660",
            "has mode = \"660\" at \"127.0.0.1:1\", not a UNIX socket, which alone has an owner and permissions",
        ),
        (
            "unix:/a,mode=888",
            "has mode = \"888\" at \"unix:/a\", not permissions in octal, such as 660",
        ),
        (
            "127.0.0.1:1,connections=0",
            "has connections = \"0\" at \"127.0.0.1:1\", not a whole number from 1",
        ),
        ("127.0.0.1:1,127.0.0.1:1", "has two addresses that overlap"),
        ("127.0.0.1:1,0.0.0.0:1", "has two addresses that overlap"),
        ("unix:/a,unix:/a", "has two addresses that overlap"),
        ("127.0.0.1:1,name=a,127.0.0.1:2,name=a", "has two listeners of one name"),
    ] {
        let sentence = one(from_flag("server.listen", text));
        let start = format!("server.listen = \"{text}\" (flag --listen) {problem}");
        assert!(sentence.starts_with(&start), "{sentence}");
    }
    let many: Vec<_> = (1..=33).map(|port| format!("127.0.0.1:{port}")).collect();
    let sentence = one(from_flag("server.listen", &many.join(",")));
    assert!(sentence.contains("has more than 32 addresses: expected "), "{sentence}");
}

#[test]
fn a_list_in_a_file_has_texts_and_tables() {
    let listen = |text: &str| {
        from_file(format!("[server]\nlisten = {text}\n"))
            .map(|effective| support::key("server.listen").value(&effective.settings).to_string())
    };
    assert_eq!(listen("'127.0.0.1:1'").as_deref(), Ok("127.0.0.1:1"));
    assert_eq!(
        listen("['[::1]:1', { connections = 5, address = 'unix:/run/a', mode = '660' }]")
            .as_deref(),
        Ok("[::1]:1,unix:/run/a,connections=5,mode=660")
    );
    for (text, problem) in [
        ("[]", "is empty"),
        ("[{ name = 'a' }]", "has a table without an address"),
        (
            "['127.0.0.1:1,127.0.0.1:2']",
            "has an item \"127.0.0.1:1,127.0.0.1:2\" with a comma in it",
        ),
        ("[['127.0.0.1:1']]", "has an item that is a list"),
    ] {
        let sentence = listen(text).unwrap_err().concat();
        assert!(sentence.contains(problem), "{sentence}");
    }
}

#[test]
fn a_flag_of_a_list_may_be_repeated() {
    let mut sources = Sources::default();
    sources.flag(support::key("server.listen"), "127.0.0.1:1,connections=5");
    sources.flag(support::key("server.listen"), "unix:/run/a");
    let effective = loaded(&sources).unwrap();
    assert_eq!(effective.settings.server.listen.len(), 2);
    let variable = [("TOWLINE_SERVER__LISTEN", "127.0.0.1:1, 127.0.0.1:2")];
    assert_eq!(from_environment(&variable).unwrap().settings.server.listen.len(), 2);
}
