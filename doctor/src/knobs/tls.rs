//! TLS: whether the processor computes the handshakes when everybody connects again.

use crate::{Facts, Fix, Row, Scope, Target, grouped, row::SERVER};

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    if !target.tls {
        return Vec::new();
    }
    let cores = facts.cores.unwrap_or(1);
    let rate = facts.handshakes.map(|rates| rates.full as u64 * cores);
    let row =
        Row::at_least("TLS handshakes", (Scope::Host, SERVER), rate, (0, target.burst)).because(format!(
            "Each connection begins with one. The rate is that of this processor, measured on one core and \
             multiplied by {cores}, with nothing else to do: slower, clients wait and time out \
             (timeouts.handshake) when all of them connect again."
        ));
    let row = match (facts.handshakes, target.reconnect_seconds(facts)) {
        (Some(rates), Some((full, resumed))) => row
            .showing(format!(
                "{}/s: all in {full:.1} s, resumed in {resumed:.1} s",
                grouped(rates.full as u64 * cores)
            ))
            .needing(format!("at least {}/s", grouped(target.burst))),
        _ => row,
    };
    vec![row.fix(Fix::Words(
        "more cores, clients that spread their connects, a P-256 key in place of RSA, or clients that keep \
         their tickets"
            .to_owned(),
    ))]
}
