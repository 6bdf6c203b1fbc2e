//! Local ports of outgoing connections. A listening server needs none of this.

use crate::{Facts, Fix, Row, Scope, Side, Target, grouped, row::OUTGOING};

/// The widest port range that leaves out the ports usually assigned by hand.
const WIDE: &str = "10000 65000";
const WIDE_PORTS: u64 = 55_001;

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let name = "net.ipv4.ip_local_port_range";
    let at = (Scope::Namespace, OUTGOING);
    let ports = target.ports(facts);
    let addresses = target.source_addresses() * target.targets.max(1);
    let row = Row::at_least(name, at, ports, (target.connections, target.connections));
    let range = facts.sysctls.text(name).unwrap_or_default();
    let shown = if target.side == Side::Both && target.sources.is_none() {
        format!("{range}, from any of 127.0.0.0/8")
    } else {
        format!("{range}: {} from {}", grouped(ports.unwrap_or(0)), counted(addresses))
    };
    let row = row.showing(shown).because(
        "Each connection takes a local port of its source address, per target address and port; \
         without one, connect fails with EADDRNOTAVAIL.",
    );
    let row = if addresses * WIDE_PORTS >= target.connections {
        row.set_to(WIDE)
    } else {
        let more = target.connections.div_ceil(WIDE_PORTS * target.targets.max(1));
        row.fix(Fix::Words(format!(
            "sysctl -w {name}=\"{WIDE}\" and {more} source addresses (towline load --source-ip)"
        )))
    };
    let reuse = "net.ipv4.tcp_tw_reuse";
    let value = facts.sysctls.number(reuse);
    // 2 allows reuse on the loopback interface alone, which suffices for both ends on one host.
    let holds = value.map(|value| value == 1 || value == 2 && target.side == Side::Both);
    let need = if target.side == Side::Both { "1 or 2" } else { "1" };
    vec![
        row,
        Row::advised(reuse, at, value, need, holds)
            .because(
                "Otherwise a port whose last connection is in TIME_WAIT cannot be reused for 60 s.",
            )
            .set_to(1),
    ]
}

fn counted(addresses: u64) -> String {
    if addresses == 1 {
        "one address to one".to_owned()
    } else {
        format!("{} pairs of addresses", grouped(addresses))
    }
}
