//! Tests of conditions.

use std::time::Duration;

use towline_host::TcpSocket;

use super::*;
use crate::{
    connections::ListedRow,
    counts::{PublicId, WriteWaitCause},
};

fn connection(peer: &str, state: State) -> ListedConnection {
    let row = ListedRow {
        id: PublicId { worker: 1, serial: 17 },
        peer: peer.parse().ok().into(),
        state,
        state_for: Duration::from_secs(60),
        age: Duration::from_secs(3600),
        lines: 1_000,
        write_wait: Duration::from_secs(10),
        buffered_bytes: 65_536,
        buffered_bytes_max: 65_536,
    };
    ListedConnection { row, socket: None::<TcpSocket>, cause: Some(WriteWaitCause::Peer) }
}

#[test]
fn all_conditions_must_hold() {
    let stuck = connection("10.1.2.3:4711", State::WriteWait);
    for (text, matches) in [
        ("", true),
        ("peer=10.0.0.0/8", true),
        ("peer=10.1.2.3", true),
        ("peer=10.1.2.3:4711, state=write_wait", true),
        ("peer=::ffff:10.1.2.3", false),
        ("peer=[::ffff:10.1.2.3]:4711", true),
        ("peer=10.1.2.3:4712", false),
        ("peer=0.0.0.0/0", true),
        ("peer=::/0", false),
        ("peer=11.0.0.0/8", false),
        ("peer=unix", false),
        ("state=idle", false),
        ("cause=peer,worker=1", true),
        ("cause=network", false),
        ("worker=2", false),
        ("age>59m,age<61m,wait>9s,lines>999,unsent>64KB", true),
        ("age>1h", false),
        // Not known without the kernel.
        ("bytes>0", false),
        ("idle>1s", false),
    ] {
        let filter = Filter::parse(text).expect("conditions");
        assert_eq!(filter.matches(&stuck), matches, "{text:?}");
        assert_eq!(filter.matches_all(), text.is_empty());
    }
    let idle = connection("unix", State::Idle);
    for text in ["peer=unix", "idle>59s", "unsent<1"] {
        assert!(Filter::parse(text).expect("a condition").matches(&idle), "{text:?}");
    }
    let v6 = connection("[2001:db8::1]:80", State::Idle);
    for (text, matches) in
        [("peer=2001:db8::/32", true), ("peer=::/0", true), ("peer=2001:db9::/32", false)]
    {
        assert_eq!(Filter::parse(text).expect("a network").matches(&v6), matches, "{text:?}");
    }
}

#[test]
fn what_is_no_condition_is_named_with_what_was_expected() {
    let known = "expected peer=ADDRESS, state=STATE, cause=CAUSE, worker=NUMBER, or idle, age, wait, unsent, \
                 bytes or lines with > or < and a value";
    let address = "expected an address such as 10.0.0.7, 10.0.0.0/8, 10.0.0.7:4711, [2001:db8::1]:4711, or unix";
    for (text, why) in [
        ("stuck", format!("\"stuck\" is no condition: {known}")),
        ("rtt>1s", format!("\"rtt>1s\" is no condition: {known}")),
        ("peer=example.org", format!("\"peer=example.org\": {address}")),
        ("peer=10.0.0.0/33", format!("\"peer=10.0.0.0/33\": {address}")),
        ("peer>1", "\"peer>1\": expected peer=VALUE".to_owned()),
        ("age=5m", "\"age=5m\": expected age>VALUE or age<VALUE".to_owned()),
        ("cause=me", "\"cause=me\": expected peer, network, buffer or unknown".to_owned()),
        ("worker=a", "\"worker=a\": expected the number of a worker, such as 0".to_owned()),
    ] {
        assert_eq!(Filter::parse(text).expect_err(text).to_string(), why);
    }
    for text in ["age>soon", "unsent>much", "lines<-1", &"worker=1,".repeat(17)] {
        assert!(Filter::parse(text).is_err(), "{text:?}");
    }
}
