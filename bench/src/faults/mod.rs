//! Attacks and what they do: to those who behave, and to the server.
//!
//! A thousand polite peers talk at a steady pace, first in calm, then under the attack. The attack
//! may make their p99 twice as long, or a millisecond longer, may cost them a tenth of their lines,
//! and must do them no other harm.

mod attack;
mod attacker;
pub(crate) mod compare;
pub(crate) mod crashes;
pub(crate) mod cycles;
mod findings;
mod priority;
pub(crate) mod soak;
mod well_behaved;

use std::{path::Path, thread, time::Duration};

pub(crate) use self::{attack::By, attacker::Attacker, findings::Verdict};
use self::{
    attack::{ATTACKS, Attack, Look},
    findings::Finding,
    well_behaved::Polite,
};
use crate::{
    Error,
    observed_server::{Sight, Victim},
};

/// How long the server gets to get over an attack before what is left of it is looked at.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Carries the attacks out whose names begin so, all when nothing is named.
pub(crate) fn report(
    towline: &Path,
    only: &[String],
    time: Duration,
    talks: u32,
) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    for attack in select(only)? {
        eprintln!("{}", attack.name);
        verdict.add(attack.name, attack.what, &carry_out(attack, towline, time, talks)?);
    }
    Ok(verdict)
}

fn select(only: &[String]) -> Result<Vec<&'static Attack>, Error> {
    if let Some(name) = only.iter().find(|o| !ATTACKS.iter().any(|a| a.name.starts_with(*o))) {
        let known: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        return Err(format!("--only {name}: expected one of {}", known.join(", ")).into());
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| name.starts_with(o.as_str()));
    Ok(ATTACKS.iter().filter(|attack| wanted(attack.name)).collect())
}

fn carry_out(
    attack: &Attack,
    towline: &Path,
    time: Duration,
    talks: u32,
) -> Result<Vec<Finding>, Error> {
    let victim = Victim::start(towline, attack.serve)?;
    let talk = |talks| Polite::talk(towline, victim.addr, time, talks);
    // Also a warm-up: what a server allocates once is not the attack's.
    let before = talk(1)?;
    let rest = victim.look_at_rest(AFTERMATH)?;
    let attacker = Attacker::start(attack.by, towline, victim.addr, victim.admin)?;
    thread::sleep(attack.settles);
    let peak = victim.look()?;
    let under = talk(talks)?;
    drop(attacker);
    thread::sleep(AFTERMATH);
    let after = talk(1)?;
    let left = victim.look_at_rest(AFTERMATH)?;

    let calm = if before.p99_ms > after.p99_ms { before } else { after };
    let mut findings = vec![patience(attack, calm, under), harm(under)];
    findings.extend(attack.looks.iter().map(|look| judge(*look, &rest, &peak, &left, under)));
    findings.push(Finding {
        demanded: "nothing left behind".into(),
        measured: format!("{} connections, {:+} descriptors", left.open, gained(&rest, &left)),
        met: left.open == 0 && gained(&rest, &left) <= 0,
    });
    Ok(findings)
}

fn gained(rest: &Sight, left: &Sight) -> i64 {
    left.descriptors as i64 - rest.descriptors as i64
}

fn patience(attack: &Attack, calm: Polite, under: Polite) -> Finding {
    let allowed = (2.0 * calm.p99_ms).max(calm.p99_ms + 1.0).max(attack.p99_ms.unwrap_or(0.0));
    Finding {
        demanded: format!("p99 of the polite ≤ {allowed:.2} ms"),
        measured: format!(
            "{:.2} ms (p50 {:.2}; in calm {:.2}, p50 {:.2})",
            under.p99_ms, under.p50_ms, calm.p99_ms, calm.p50_ms
        ),
        met: under.p99_ms <= allowed,
    }
}

fn harm(under: Polite) -> Finding {
    Finding {
        demanded: "0 errors, 90 % of their lines".into(),
        measured: format!("{} errors, {:.1} %", under.harm, 100.0 * under.share),
        met: under.harm == 0 && under.share >= 0.9,
    }
}

fn judge(look: Look, rest: &Sight, peak: &Sight, left: &Sight, under: Polite) -> Finding {
    let at_most = |what: &str, most: u64, unit: &str, value: u64| Finding {
        demanded: format!("{what} ≤ {most} {unit}"),
        measured: format!("{value} {unit}"),
        met: value <= most,
    };
    let resident = peak.resident_bytes.saturating_sub(rest.resident_bytes);
    match look {
        Look::ClosedAtLeast(reason, least) => {
            let of = |sight: &Sight| sight.closed.get(reason).copied().unwrap_or(0);
            let closed = of(left) - of(rest);
            Finding {
                demanded: format!("closed as `{reason}` ≥ {least}"),
                measured: closed.to_string(),
                met: closed >= least,
            }
        }
        Look::RefusedAtLeast(why, least) => {
            let of = |sight: &Sight| sight.refused.get(why).copied().unwrap_or(0);
            let refused = of(left) - of(rest);
            Finding {
                demanded: format!("refused as `{why}` ≥ {least}"),
                measured: refused.to_string(),
                met: refused >= least,
            }
        }
        Look::ResidentKib(most) => {
            at_most("resident memory grows by", most, "KiB", resident / 1024)
        }
        Look::ResidentBytesEach(attackers, most) => {
            at_most("resident memory each", most, "bytes", resident / attackers)
        }
        Look::KernelKibEach(attackers, most) => {
            let sockets = peak.socket_bytes.saturating_sub(rest.socket_bytes);
            at_most("kernel memory each", most, "KiB", sockets / attackers / 1024)
        }
        Look::Jain(least) => Finding {
            demanded: format!("Jain's index of the polite ≥ {least}"),
            measured: format!("{:.3}", under.jain),
            met: under.jain >= least,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_chosen_by_the_beginning_of_their_names() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            select(&only)
                .map(|attacks| attacks.iter().map(|attack| attack.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["21", "3-"]).ok(), Some(vec!["3-endless-line", "21-pipelined-flood"]));
        assert_eq!(names(&[]).map_or(0, |all| all.len()), ATTACKS.len());
        assert!(names(&["slow"]).is_err(), "a typing error must not attack nothing");
    }

    #[test]
    fn a_look_is_judged_by_what_the_attack_changed() {
        let rest = Sight { resident_bytes: 1 << 20, ..Sight::default() };
        let peak = Sight { resident_bytes: (1 << 20) + 4096, ..Sight::default() };
        let polite = Polite { p50_ms: 0.1, p99_ms: 0.2, jain: 0.5, share: 1.0, harm: 0 };
        let judge = |look| judge(look, &rest, &peak, &rest, polite);
        assert!(judge(Look::ResidentKib(4)).met);
        assert!(!judge(Look::ResidentKib(3)).met);
        assert!(!judge(Look::ResidentBytesEach(2, 2047)).met);
        assert!(!judge(Look::ClosedAtLeast("drain", 1)).met);
        assert!(!judge(Look::Jain(0.9)).met);
        assert!(harm(polite).met);
    }
}
