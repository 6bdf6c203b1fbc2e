//! Attacks, and their effect on well-behaved clients and on the server.
//!
//! A thousand well-behaved clients send lines at a steady rate, first without and then during an attack.
//! The attack may double their p99 or add a millisecond to it, may cost them a tenth of their lines, and
//! must have no other effect on them.

mod attack;
mod attacker;
pub(crate) mod compare;
pub(crate) mod crashes;
pub(crate) mod cycles;
mod findings;
pub(crate) mod priority;
pub(crate) mod soak;
pub(crate) mod well_behaved;

use std::{path::Path, thread, time::Duration};

pub(crate) use self::{
    attack::AttackKind,
    attacker::Attacker,
    findings::{Finding, FindingsTable},
};
use self::{
    attack::{ATTACKS, Attack, Check},
    well_behaved::ClientReport,
};
use crate::{
    Error,
    observed_server::{ObservedServer, Snapshot},
    select::select,
};

/// Time for the server to recover from an attack, before what is left of it is checked.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Carries out the attacks whose names begin with one of `only`; all of them when it is empty.
pub(crate) fn report(
    towline: &Path,
    only: &[String],
    time: Duration,
    repetitions: u32,
) -> Result<FindingsTable, Error> {
    let mut table = FindingsTable::default();
    for attack in select(&ATTACKS, |attack| attack.name, only)? {
        eprintln!("{}", attack.name);
        table.add(attack.name, attack.what, &carry_out(attack, towline, time, repetitions)?);
    }
    Ok(table)
}

fn carry_out(
    attack: &Attack,
    towline: &Path,
    time: Duration,
    repetitions: u32,
) -> Result<Vec<Finding>, Error> {
    let server = ObservedServer::start(towline, attack.serve)?;
    // A digest in place of a line is no echo.
    let echoes = !attack.serve.contains(&"sha256") || attack.serve.contains(&"discard");
    let measure =
        |repetitions| ClientReport::measure(towline, server.addr, echoes, time, repetitions);
    // A warm-up too: what the server allocates once is not due to the attack.
    let before = measure(1)?;
    let rest = server.snapshot_at_rest(AFTERMATH)?;
    let attacker = Attacker::start(attack.kind, towline, server.addr, server.admin)?;
    thread::sleep(attack.settles);
    let peak = server.snapshot()?;
    let under = measure(repetitions)?;
    drop(attacker);
    thread::sleep(AFTERMATH);
    let after = measure(1)?;
    let left = server.snapshot_at_rest(AFTERMATH)?;

    let without = if before.p99_ms > after.p99_ms { before } else { after };
    let mut findings = vec![latency(attack, without, under), losses(under)];
    findings.extend(attack.checks.iter().map(|check| evaluate(*check, &rest, &peak, &left, under)));
    findings.push(Finding {
        demanded: "nothing left behind".into(),
        measured: format!("{} connections, {:+} descriptors", left.open, gained(&rest, &left)),
        met: left.open == 0 && gained(&rest, &left) <= 0,
    });
    Ok(findings)
}

fn gained(rest: &Snapshot, left: &Snapshot) -> i64 {
    left.descriptors as i64 - rest.descriptors as i64
}

fn latency(attack: &Attack, without: ClientReport, under: ClientReport) -> Finding {
    let allowed =
        (2.0 * without.p99_ms).max(without.p99_ms + 1.0).max(attack.p99_ms.unwrap_or(0.0));
    Finding {
        demanded: format!("p99 of the well-behaved ≤ {allowed:.2} ms"),
        measured: format!(
            "{:.2} ms (p50 {:.2}; without attack {:.2}, p50 {:.2})",
            under.p99_ms, under.p50_ms, without.p99_ms, without.p50_ms
        ),
        met: under.p99_ms <= allowed,
    }
}

fn losses(under: ClientReport) -> Finding {
    Finding {
        demanded: "0 errors, 90 % of their lines".into(),
        measured: format!("{} errors, {:.1} %", under.failures, 100.0 * under.share),
        met: under.failures == 0 && under.share >= 0.9,
    }
}

fn evaluate(
    check: Check,
    rest: &Snapshot,
    peak: &Snapshot,
    left: &Snapshot,
    under: ClientReport,
) -> Finding {
    let at_least = |what: String, least: u64, value: u64| Finding {
        demanded: format!("{what} ≥ {least}"),
        measured: value.to_string(),
        met: value >= least,
    };
    let at_most = |what: &str, most: u64, unit: &str, value: u64| Finding {
        demanded: format!("{what} ≤ {most} {unit}"),
        measured: format!("{value} {unit}"),
        met: value <= most,
    };
    let resident = peak.resident_bytes.saturating_sub(rest.resident_bytes);
    match check {
        Check::ClosedAtLeast(reason, least) => {
            let of = |snapshot: &Snapshot| snapshot.closed.get(reason).copied().unwrap_or(0);
            at_least(format!("closed as `{reason}`"), least, of(left) - of(rest))
        }
        Check::RefusedAtLeast(reason, least) => {
            let of = |snapshot: &Snapshot| snapshot.refused.get(reason).copied().unwrap_or(0);
            at_least(format!("refused as `{reason}`"), least, of(left) - of(rest))
        }
        Check::ResidentKib(most) => {
            at_most("resident memory grows by", most, "KiB", resident / 1024)
        }
        Check::ResidentBytesEach(attackers, most) => {
            at_most("resident memory each", most, "bytes", resident / attackers)
        }
        Check::KernelKibEach(attackers, most) => {
            let sockets = peak.socket_bytes.saturating_sub(rest.socket_bytes);
            at_most("kernel memory each", most, "KiB", sockets / attackers / 1024)
        }
        Check::Jain(least) => Finding {
            demanded: format!("Jain's index of the well-behaved ≥ {least}"),
            measured: format!("{:.3}", under.jain),
            met: under.jain >= least,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_compares_what_the_attack_changed() {
        let rest = Snapshot { resident_bytes: 1 << 20, ..Snapshot::default() };
        let peak = Snapshot { resident_bytes: (1 << 20) + 4096, ..Snapshot::default() };
        let under = ClientReport { p50_ms: 0.1, p99_ms: 0.2, jain: 0.5, share: 1.0, failures: 0 };
        let is_met = |check| evaluate(check, &rest, &peak, &rest, under).met;
        assert!(is_met(Check::ResidentKib(4)));
        assert!(!is_met(Check::ResidentKib(3)));
        assert!(!is_met(Check::ResidentBytesEach(2, 2047)));
        assert!(!is_met(Check::ClosedAtLeast("drain", 1)));
        assert!(!is_met(Check::Jain(0.9)));
        assert!(losses(under).met);
    }
}
