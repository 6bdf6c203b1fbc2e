//! Runs over TLS.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;
#[path = "support/tls_front.rs"]
mod tls_front;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use support::{plan_for, run};
use tls_front::{End, Front, TlsServer};
use towline_load::{
    Assertion, BehaviorGroup, Mode, Plan, ProxyHeader, Report, RunVerdict, TlsClientFiles, TlsPlan,
    TlsReport, TlsTrust, TlsVersion,
};
use towline_test_support::tls::Authority;
use towline_test_support::{FanoutServer, LineServer, TempFile, wait_until};

fn echo(front: Front) -> (LineServer, TlsServer) {
    let server = LineServer::echo();
    let tls = TlsServer::new(server.address, front);
    (server, tls)
}

fn plan_of(server: &TlsServer, mode: Mode) -> Plan {
    let mut plan = plan_for(&server.front, mode);
    plan.tls = Some(server.trusted());
    plan
}

fn tls(report: &Report) -> &TlsReport {
    report.tls.as_ref().unwrap()
}

/// The report of a run in which no handshake ended well, and the reasons of its verdict.
fn failed(plan: &Plan) -> (Report, String) {
    let report = run(plan);
    assert_eq!(report.connections.established, 0);
    let (verdict, reasons) = report.verdict(&[]);
    assert_eq!(verdict, RunVerdict::ConnectionsFailed);
    (report, reasons.join("\n"))
}

#[test]
fn every_mode_is_verified_over_both_versions() {
    let (_echo, server) = echo(Front::default());
    for mode in [
        Mode::Flood,
        Mode::PingPong { window: 1 },
        Mode::PingPong { window: 50 },
        Mode::Paced { rate: 400.0 },
        Mode::Idle,
    ] {
        for version in [TlsVersion::V12, TlsVersion::V13] {
            let mut plan = plan_of(&server, mode);
            let own = plan.tls.as_mut().unwrap();
            (own.min_version, own.max_version) = (version, version);
            let report = run(&plan);
            assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{mode:?}: {:?}", report.verify);
            assert!(report.verify.checked > 0, "{mode:?}");
            assert_eq!((tls(&report).full, tls(&report).resumed, tls(&report).failed), (4, 0, 0));
            assert_eq!(tls(&report).handshake_us.count, 4);
            assert_eq!(tls(&report).ends.no_close_notify, 0);
            assert!(report.connect_us.count == 4 && tls(&report).handshake_us.max > 0);
            let suite = tls(&report).suites.keys().next().unwrap();
            assert_eq!(suite.starts_with("TLS13_"), version == TlsVersion::V13, "{suite}");
            assert!(report.text().to_string().contains("4 full, 0 resumed"), "{}", report.text());
        }
    }
}

#[test]
fn long_lines_are_sent_in_parts_and_come_back_whole() {
    let (_echo, server) = echo(Front::default());
    let mut plan = plan_of(&server, Mode::PingPong { window: 8 });
    plan.message = format!("{}{{seq}}\\n", "x".repeat(50_000));
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.verify.checked > 8, "{:?}", report.verify);
}

#[test]
fn a_fan_out_over_tls_delivers_every_message() {
    let back = FanoutServer::faithful();
    let server = TlsServer::new(back.server().address, Front::default());
    let mut plan = plan_of(&server, Mode::Fanout { pace: towline_load::FanoutPace::Rate(200.0) });
    plan.connections = 6;
    plan.fanout.publishers = 2;
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.verify.checked > 0);
    assert_eq!(tls(&report).full, 6);
}

#[test]
fn a_session_is_resumed_only_if_the_plan_says_so() {
    let (_echo, server) = echo(Front::default());
    for version in [TlsVersion::V12, TlsVersion::V13] {
        for resume in [false, true] {
            let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
            plan.mix = BehaviorGroup::parse_mix("churn=4").unwrap();
            let own = plan.tls.as_mut().unwrap();
            (own.resume, own.max_version) = (resume, version);
            let report = run(&plan);
            let (full, resumed) = (tls(&report).full, tls(&report).resumed);
            assert_eq!(resumed > 0, resume, "{version:?}: {full} full, {resumed} resumed");
            assert!(full >= if resume { 1 } else { 8 }, "{version:?}: {full} full");
            assert_eq!(tls(&report).failed, 0);
        }
    }
}

#[test]
fn bad_clients_misbehave_behind_the_handshake_and_only_resets_send_no_close_notify() {
    for (mix, end) in
        [("reset=4", End::Cut), ("churn=4", End::Notified), ("half-open=4", End::Notified)]
    {
        let (_echo, server) = echo(Front::default());
        let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
        plan.mix = BehaviorGroup::parse_mix(mix).unwrap();
        plan.bad_client_interval = Duration::from_millis(30);
        let report = run(&plan);
        assert_eq!(report.connections.established, 4, "{mix}");
        wait_until("four ends were seen", || server.ends.lock().unwrap().len() >= 4);
        let ends = server.ends.lock().unwrap();
        // Those of resets that are open at the end of the run are closed as all others.
        assert!(
            ends.contains(&end) && (end == End::Cut || !ends.contains(&End::Cut)),
            "{mix}: {ends:?}"
        );
    }
}

#[test]
fn an_end_without_a_close_notify_is_an_end_of_its_own_kind() {
    for cuts in [false, true] {
        let back = LineServer::with(|stream| {
            let mut writer = stream.try_clone().unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok).take(20) {
                writer.write_all(format!("{line}\n").as_bytes()).unwrap();
            }
            let _ = writer.shutdown(Shutdown::Both);
        });
        let server = TlsServer::new(back.address, Front { cuts, ..Front::default() });
        let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
        plan.duration = Duration::from_secs(60);
        let report = run(&plan);
        assert_eq!((report.connections.closed_early, report.lines.received), (4, 80));
        let ends = tls(&report).ends;
        let expected = if cuts { (0, 4) } else { (4, 0) };
        assert_eq!((ends.close_notify, ends.no_close_notify), expected);
        let reasons = report.verdict(&[]).1.join("\n");
        assert_eq!(reasons.contains("4 ended without a close_notify"), cuts, "{reasons}");
    }
}

/// The server sends its first bytes in one segment with the last of the handshake. They are decrypted with it,
/// and epoll never reports them: a client that waits for the socket alone waits forever.
#[test]
fn lines_that_come_with_the_end_of_the_handshake_are_read() {
    let back = LineServer::with(|stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        // Nothing is answered before the heartbeat was.
        let first: Vec<_> = lines.by_ref().take_while(|line| line != "pong").collect();
        for line in first.into_iter().chain(lines) {
            let _ = writer.write_all(format!("{line}\n").as_bytes());
        }
    });
    let server = TlsServer::new(back.address, Front { greeting: b"ping\n", ..Front::default() });
    let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
    plan.tls.as_mut().unwrap().max_version = TlsVersion::V12;
    let report = run(&plan);
    assert_eq!(report.heartbeats, 4);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.lines.received > 4);
}

#[test]
fn a_proxy_header_goes_before_the_handshake() {
    let (_echo, server) = echo(Front { skip: 28, ..Front::default() });
    let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
    plan.proxy = Some(ProxyHeader::parse("198.18.0.0/15").unwrap());
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
}

#[test]
fn a_certificate_of_another_authority_or_name_is_refused_unless_nothing_is_verified() {
    let (_echo, server) = echo(Front::default());
    let other = TempFile::new(Authority::new("another authority").pem());
    let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
    plan.tls.as_mut().unwrap().trust = TlsTrust::Authorities(other.path().into());
    let (report, reasons) = failed(&plan);
    assert_eq!(tls(&report).failed, 4);
    assert_eq!(report.connect_errors["tls_handshake"], 4);
    assert!(reasons.contains("another authority") && reasons.contains("(4 times)"), "{reasons}");

    plan.tls = Some(server.trusted());
    plan.tls.as_mut().unwrap().name = Some("lines.example".into());
    assert!(failed(&plan).1.contains("--tls-name"));

    plan.tls.as_mut().unwrap().trust = TlsTrust::Anything;
    assert_eq!(run(&plan).verdict(&[]).0, RunVerdict::Clean);
}

#[test]
fn a_client_certificate_is_shown_and_its_absence_is_told_by_the_alert() {
    let (_echo, server) = echo(Front { asks_for_certificate: true, ..Front::default() });
    let own = server.authority.sign_names(&["client.example"]);
    let (cert, key) = (TempFile::new(&own.cert), TempFile::new(&own.key));
    let mut plan = plan_of(&server, Mode::PingPong { window: 1 });
    plan.tls.as_mut().unwrap().client =
        Some(TlsClientFiles { cert: cert.path().into(), key: key.path().into() });
    assert_eq!(run(&plan).verdict(&[]).0, RunVerdict::Clean);

    // With TLS 1.2 the handshake fails; with 1.3 it has ended for the client when the server refuses.
    for (version, text) in [
        (TlsVersion::V12, "the server sent the alert handshake failure"),
        (TlsVersion::V13, "the server sent the alert certificate required"),
    ] {
        let own = plan.tls.as_mut().unwrap();
        (own.client, own.max_version) = (None, version);
        let report = run(&plan);
        let (verdict, reasons) = report.verdict(&[]);
        assert_eq!(verdict, RunVerdict::ConnectionsFailed, "{version:?}");
        let known =
            tls(&report).errors.keys().any(|known| known.contains("the server sent the alert"));
        assert!(known, "{version:?}: {:?}, not {text}", tls(&report).errors);
        assert!(reasons.join("\n").contains("alert"), "{version:?}: {reasons:?}");
    }
}

#[test]
fn a_server_without_tls_ends_every_connection_with_a_counted_error() {
    let talks = LineServer::with(|mut stream| {
        let _ = stream.write_all(b"ERR what is this\n");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let mut plan = plan_for(&talks, Mode::PingPong { window: 1 });
    plan.tls = Some(TlsPlan::new(TlsTrust::Anything));
    let (report, reasons) = failed(&plan);
    assert_eq!((report.connect_errors["tls_handshake"], tls(&report).failed), (4, 4));
    assert!(reasons.contains("the server's answer is not TLS (4 times)"), "{reasons}");

    let closes = LineServer::with(drop);
    plan.targets = vec![closes.address.into()];
    let (report, reasons) = failed(&plan);
    assert_eq!(report.connect_errors["tls_handshake"], 4);
    assert!(reasons.contains("during the handshake"), "{reasons}");
}

#[test]
fn a_server_that_stalls_in_the_handshake_is_given_up_after_the_connect_timeout() {
    let stalls = LineServer::with(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let mut plan = plan_for(&stalls, Mode::Idle);
    plan.tls = Some(TlsPlan::new(TlsTrust::Anything));
    plan.connect_timeout = Duration::from_millis(200);
    let (report, reasons) = failed(&plan);
    assert_eq!(report.connect_errors["tls_timeout"], 4);
    assert_eq!(tls(&report).failed, 4);
    assert!(reasons.contains("did not finish the TLS handshake in time"), "{reasons}");
}

#[test]
fn handshakes_can_be_asserted_and_merged() {
    let (_echo, server) = echo(Front::default());
    let report = run(&plan_of(&server, Mode::PingPong { window: 1 }));
    let missed = |text: &str| !report.verdict(&[Assertion::parse(text).unwrap()]).1.is_empty();
    assert!(!missed("handshake.p99<600s") && !missed("handshakes_failed==0"));
    assert!(missed("handshake.max<0.001us") && missed("handshakes_resumed>0"));
    let both = Report::merge(&[report.clone(), report.clone()]).unwrap();
    assert_eq!((tls(&both).full, tls(&both).handshake_us.count), (8, 8));
    let text = serde_json::to_string(&both).unwrap();
    let read: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(read.tls, both.tls);
}

#[test]
fn a_plan_whose_tls_cannot_work_is_refused_with_the_file_and_a_reason() {
    let authority = Authority::new("authority");
    let (own, other) = (authority.sign_names(&["a.example"]), authority.sign_names(&["b.example"]));
    let [ca, cert, key, wrong_key] =
        [&authority.pem(), &own.cert, &own.key, &other.key].map(TempFile::new);
    let nothing = TempFile::new("no PEM\n");
    let absent = TempFile::absent();
    let refused = |change: &dyn Fn(&mut TlsPlan)| {
        let mut plan = Plan::new(towline_load::TargetAddr::resolve("127.0.0.1:9").unwrap());
        let mut tls = TlsPlan::new(TlsTrust::Authorities(ca.path().into()));
        change(&mut tls);
        plan.tls = Some(tls);
        let error = plan.check().unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    let pair = |cert: &TempFile, key: &TempFile| {
        Some(TlsClientFiles { cert: cert.path().into(), key: key.path().into() })
    };
    let named = |text: String, file: &TempFile, why: &str| {
        assert!(text.contains(file.name()) && text.contains(why), "{text}");
    };
    let absent_ca = refused(&|t| t.trust = TlsTrust::Authorities(absent.path().into()));
    named(absent_ca, &absent, "cannot be read");
    let empty_ca = refused(&|t| t.trust = TlsTrust::Authorities(nothing.path().into()));
    named(empty_ca, &nothing, "has no certificate");
    named(refused(&|t| t.client = pair(&cert, &wrong_key)), &wrong_key, "does not fit");
    named(refused(&|t| t.client = pair(&cert, &nothing)), &nothing, "no private key");
    named(refused(&|t| t.client = pair(&nothing, &key)), &nothing, "has no certificate");
    let name = refused(&|t| t.name = Some("not a name".into()));
    assert!(name.contains("`not a name`") && name.contains("DNS name"), "{name}");
    let versions = refused(&|t| {
        (t.min_version, t.max_version) = (TlsVersion::V13, TlsVersion::V12);
    });
    assert!(versions.contains("1.3 to 1.2"), "{versions}");
}
