//! The table of keys: the names and defaults that users rely on, and its consistency.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::collections::HashSet;

use support::key;
use towline_config::{Key, Settings};

/// The names, flags and defaults that users rely on. A change here breaks their files and scripts.
const PROMISED: &[(&str, &str, &str)] = &[
    ("server.listen", "--listen", "127.0.0.1:9000"),
    ("server.admin", "--admin", "127.0.0.1:9464"),
    ("server.threads", "--threads", "auto"),
    ("server.processes", "--processes", "1"),
    ("server.backlog", "--backlog", "65535"),
    ("server.ready_when_full", "--ready-when-full", "true"),
    ("admin.socket", "--admin-socket", "off"),
    ("admin.token_file", "--admin-token-file", "off"),
    ("workload.kind", "--workload", "echo"),
    ("workload.digest", "--digest", "reply"),
    ("workload.framing", "--framing", "batch"),
    ("flush.policy", "--flush", "auto"),
    ("limits.connections", "--max-connections", "auto"),
    ("limits.connections_per_ip", "--max-connections-per-ip", "off"),
    ("limits.accept_rate", "--max-accept-rate", "off"),
    ("limits.accept_rate_per_ip", "--max-accept-rate-per-ip", "off"),
    ("limits.lines_per_ip", "--max-lines-per-ip", "off"),
    ("limits.bytes_per_ip", "--max-bytes-per-ip", "off"),
    ("limits.allow", "--allow", "off"),
    ("limits.deny", "--deny", "off"),
    ("limits.admission", "--admission", "wait"),
    ("limits.line_bytes", "--max-line", "64KiB"),
    ("limits.concurrency", "--concurrency", "4096"),
    ("limits.overload", "--overload", "wait"),
    ("limits.output_bytes", "--max-output", "256KiB"),
    ("limits.buffer_bytes", "--max-buffer", "auto"),
    ("push.connection_bytes", "", "1MiB"),
    ("push.shard_bytes", "", "16MiB"),
    ("push.at_once", "", "32"),
    ("timeouts.request", "--request-timeout", "5s"),
    ("timeouts.idle", "--idle-timeout", "off"),
    ("timeouts.line", "--line-deadline", "30s"),
    ("timeouts.write", "--write-timeout", "10s"),
    ("timeouts.handshake", "--handshake-deadline", "10s"),
    ("timeouts.age", "--max-age", "off"),
    ("timeouts.drain", "--drain-deadline", "30s"),
    ("timeouts.drain_delay", "--drain-delay", "off"),
    ("timeouts.drain_spread", "--drain-spread", "off"),
    ("timeouts.linger", "", "2s"),
    ("timeouts.half_close", "", "500ms"),
    ("heartbeat.interval", "--heartbeat", "30s"),
    ("heartbeat.timeout", "--heartbeat-timeout", "10s"),
    ("socket.nodelay", "", "true"),
    ("socket.keepalive", "", "60s"),
    ("socket.user_timeout", "", "30s"),
    ("socket.notsent_lowat", "", "16KiB"),
    ("socket.receive_buffer", "", "auto"),
    ("tls.cert", "--tls-cert", "off"),
    ("tls.key", "--tls-key", "off"),
    ("tls.min_version", "--tls-min-version", "1.2"),
    ("tls.client_ca", "--tls-client-ca", "off"),
    ("tls.client_crl", "--tls-client-crl", "off"),
    ("tls.client_auth", "--tls-client-auth", "required"),
    ("tls.client_allow", "--tls-client-allow", "off"),
    ("proxy_protocol.mode", "--proxy-protocol", "off"),
    ("proxy_protocol.trusted", "--proxy-trusted", "off"),
    ("proxy_protocol.deadline", "", "3s"),
    ("log.level", "--log-level", "info"),
    ("log.format", "--log-format", "text"),
    ("log.connections", "--log-connections", "abnormal"),
];

#[test]
fn names_flags_and_defaults_are_those_promised() {
    let table: Vec<_> = Key::all()
        .iter()
        .map(|key| (key.name, key.flag.unwrap_or_default(), key.default().to_string()))
        .collect();
    let promised: Vec<_> = PROMISED
        .iter()
        .map(|(name, flag, default)| (*name, *flag, (*default).to_owned()))
        .collect();
    assert_eq!(table, promised);
}

#[test]
fn names_flags_and_variables_are_unique() {
    let mut seen = HashSet::new();
    for key in Key::all() {
        assert!(seen.insert(key.name.to_owned()), "{key:?}");
        assert!(seen.insert(key.variable()), "{key:?}");
        assert!(key.flag.is_none_or(|flag| seen.insert(flag.to_owned())), "{key:?}");
    }
}

#[test]
fn every_key_is_documented_in_sentences() {
    for key in Key::all() {
        assert!(key.doc.ends_with('.') && key.doc.starts_with(char::is_uppercase), "{key:?}");
        assert!(!key.doc.contains("  ") && !key.doc.contains('\n'), "{key:?}");
        assert!(!key.expected().is_empty() && !key.expected().ends_with('.'), "{key:?}");
    }
}

#[test]
fn the_variable_is_the_key_in_capitals() {
    assert_eq!(key("limits.connections").variable(), "TOWLINE_LIMITS__CONNECTIONS");
    assert_eq!(key("proxy_protocol.mode").variable(), "TOWLINE_PROXY_PROTOCOL__MODE");
}

#[test]
fn every_word_in_a_placeholder_is_accepted() {
    for key in Key::all() {
        for word in key.placeholder().split('|').filter(|word| !word.contains(char::is_uppercase)) {
            let mut settings = Settings::default();
            assert_eq!(key.set(&mut settings, word), Ok(()), "{key:?} {word}");
            assert_eq!(key.value(&settings).to_string(), word, "{key:?}");
        }
    }
}
