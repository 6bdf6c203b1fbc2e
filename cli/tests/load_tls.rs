//! `towline load --tls` at the server, and what its flags refuse.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use serde_json::Value;
use towline_test_support::{
    ServerProcess, TempFile, refusal,
    tls::{Authority, Subject},
    towline,
};

/// A server over TLS, and the files of its clients.
struct Fixture {
    server: ServerProcess,
    ca: TempFile,
    client: [TempFile; 2],
    _own: [TempFile; 2],
}

impl Fixture {
    /// With `mutual`, only `device-7` may come.
    fn new(mutual: bool, more: &[&str]) -> Self {
        let authority = Authority::new("authority");
        let files = |pair: towline_test_support::tls::Pair| {
            [TempFile::new(&pair.cert), TempFile::new(&pair.key)]
        };
        let own = files(authority.sign_names(&["localhost"]));
        let subject = Subject { common_name: "device-7".to_owned(), ..Subject::default() };
        let client = files(authority.sign(&subject));
        let ca = TempFile::new(authority.pem());
        let mut flags = vec!["--tls-cert", own[0].name(), "--tls-key", own[1].name()];
        if mutual {
            flags.extend(["--tls-client-ca", ca.name(), "--tls-client-allow", "device-7"]);
        }
        flags.extend(more);
        let server = ServerProcess::start(&[], &flags);
        Self { server, ca, client, _own: own }
    }

    fn load(&self, more: &[&str]) -> (i32, Value, String) {
        let address = self.server.lines().to_string();
        let mut flags = vec!["load", &address, "-T", "300ms", "-q", "--json", "-", "--tls"];
        flags.extend(["--tls-ca", self.ca.name(), "--tls-name", "localhost"]);
        flags.extend(more);
        let run = towline(&flags);
        (run.code, serde_json::from_str(&run.stdout).unwrap_or_default(), run.stderr)
    }
}

#[test]
fn the_server_holds_its_lines_over_tls_in_every_mode_and_from_several_processes() {
    let fixture = Fixture::new(false, &["--threads", "2"]);
    for mode in ["flood", "ping-pong", "idle"] {
        let flags = ["-c", "12", "--mode", mode, "--verify", "--processes", "2"];
        let (code, json, errors) = fixture.load(&flags);
        assert_eq!((code, errors.as_str()), (0, ""), "{mode}");
        assert_eq!((&json["tls"]["full"], &json["tls"]["failed"]), (&12.into(), &0.into()));
        assert_eq!(json["tls"]["ends"]["no_close_notify"], 0);
        assert!(json["verify"]["checked"].as_u64().unwrap() >= 12);
    }
    // Every connection ended with a close_notify: none is an end that the server cannot explain.
    assert_eq!(
        fixture.server.metric("towline_connections_closed_total{reason=\"peer_reset\"}"),
        0.0
    );
}

#[test]
fn tickets_of_the_server_are_resumed_when_the_flag_says_so() {
    let fixture = Fixture::new(false, &["--threads", "1"]);
    for version in ["1.2", "1.3"] {
        let churn = ["--mix", "churn=3", "--tls-max-version", version, "--tls-resume", "on"];
        let (_, json, errors) = fixture.load(&churn);
        assert!(json["tls"]["resumed"].as_u64().unwrap() > 0, "{version}: {errors}{json}");
    }
    assert!(
        fixture.server.metric("towline_tls_handshakes_total{result=\"ok\",resumed=\"true\"}") > 0.0
    );
}

#[test]
fn a_client_certificate_decides_over_a_server_that_asks_for_one() {
    let fixture = Fixture::new(true, &["--threads", "1"]);
    let [cert, key] = fixture.client.each_ref().map(TempFile::name);
    let flags = ["-c", "3", "--mode", "ping-pong", "--verify"];
    let shown = [&flags[..], &["--tls-cert", cert, "--tls-key", key]].concat();
    let (code, json, errors) = fixture.load(&shown);
    assert_eq!((code, errors.as_str()), (0, ""), "{json}");
    let (code, _, errors) = fixture.load(&flags);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("certificate required"), "{errors}");
}

#[test]
fn flags_of_tls_that_do_not_fit_are_refused() {
    let flags = |more: &[&str]| refusal(&[&["load", "127.0.0.1:1"][..], more].concat());
    let trust = flags(&["--tls"]);
    assert!(trust.contains("--tls-ca FILE") && trust.contains("--tls-insecure"), "{trust}");
    for (more, expected) in [
        (&["--tls-resume", "on"][..], "--tls-resume is about TLS: expected it with --tls only"),
        (&["--tls-ca", "x"], "--tls-ca is about TLS"),
        (&["--tls", "--tls-insecure", "--tls-cert", "a.crt"], "--tls-cert a.crt has no key"),
        (&["--tls", "--tls-insecure", "--tls-key", "a.key"], "--tls-key a.key has no certificate"),
        (&["--tls", "--tls-ca", "/nonexistent/ca"], "/nonexistent/ca cannot be read"),
        (&["--tls", "--tls-insecure", "--tls-name", "a b"], "`a b` is not a name for TLS"),
        (&["--tls", "--tls-insecure", "--tls-max-version", "1.1"], "expected 1.2 or 1.3"),
        (&["--tls", "--tls-insecure", "--tls-ca", "x"], "--tls-insecure"),
    ] {
        let error = flags(more);
        assert!(error.contains(expected), "{more:?}: {error}");
    }
}
