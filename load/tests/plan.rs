//! Plans that cannot be run are refused, and the error says why.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use towline_load::{BehaviorGroup, Mode, Plan, ProxyHeader, TargetAddr};

#[test]
fn a_plan_that_cannot_be_run_is_refused_with_a_reason() {
    let target = || TargetAddr::resolve("127.0.0.1:9").unwrap();
    let wrong = |change: fn(&mut Plan)| {
        let mut plan = Plan::new(target());
        change(&mut plan);
        let error = plan.check().unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    assert!(wrong(|p| p.message = "ping".into()).contains("newline"));
    assert!(wrong(|p| p.message = String::new()).contains("empty"));
    assert!(wrong(|p| p.connections = 0).contains("at least 1"));
    assert!(wrong(|p| p.duration = Duration::ZERO).contains("duration"));
    assert!(wrong(|p| p.mode = Mode::PingPong { window: 0 }).contains("window"));
    assert!(wrong(|p| p.processes = Some(0)).contains("processes"));
    assert!(wrong(|p| p.mix = BehaviorGroup::parse_mix("churn=3").unwrap()).contains("mix"));
    let too_many = wrong(|p| {
        p.connections = 2_000_000_000;
        p.processes = Some(1);
    });
    assert!(too_many.contains("descriptors") && too_many.contains("--processes"), "{too_many}");
}

#[test]
fn a_message_without_a_newline_is_warned_about_where_it_is_not_refused() {
    let mut plan = Plan::new(TargetAddr::resolve("127.0.0.1:9").unwrap());
    plan.mode = Mode::Flood;
    assert_eq!(plan.warnings(), [""; 0]);
    plan.message = "hello".into();
    plan.check().unwrap();
    let warnings = plan.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("`hello` has no newline"), "{warnings:?}");
}

#[test]
fn made_up_clients_of_proxy_headers_are_those_of_a_network_in_turn() {
    let clients = ProxyHeader::parse("198.18.0.0/30").unwrap();
    let client = |id| clients.client(id).unwrap().to_string();
    assert_eq!(
        [0, 3, 4, 9].map(client),
        ["198.18.0.0:1024", "198.18.0.3:1024", "198.18.0.0:1025", "198.18.0.1:1026",]
    );
    assert_eq!(clients.bytes(0).len(), 28);
    assert_eq!(ProxyHeader::parse("local").unwrap().bytes(7), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    let ProxyHeader::Clients { count, .. } = ProxyHeader::parse("0.0.0.0/0").unwrap() else {
        panic!("it is a network")
    };
    assert_eq!(count, 65_536);
    for wrong in ["", "v2", "198.18.0.1/30", "198.18.0.0/33", "::1", "10.0.0.0/x"] {
        let error = ProxyHeader::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(&format!("`{wrong}`")) && error.contains("expected"), "{error}");
    }
}
