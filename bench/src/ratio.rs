//! Runs scenarios: everybody in turn, round after round, so that a machine that drifts drifts for all.

use std::{collections::BTreeMap, thread, time::Duration};

use serde::Serialize;

use crate::{
    Error,
    child::Server,
    generator::{self, Generator, Timing},
    implementation::{Run, Stable, Subject},
    kernel::resident_bytes,
    periodic::Scraper,
    scenario::Scenario,
    sha,
};

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Who is measured against the references.
    pub(crate) subject: Subject,
    pub(crate) rounds: u32,
    pub(crate) timing: Timing,
    pub(crate) all: bool,
}

/// One turn of everybody.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Round {
    pub(crate) runs: BTreeMap<&'static str, Run>,
    /// Why the round does not count.
    pub(crate) void: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static Scenario,
    pub(crate) rounds: Vec<Round>,
}

impl Outcome {
    /// The rounds that count; all of them when none does, and the report says so.
    pub(crate) fn counting(&self) -> Vec<&Round> {
        let good: Vec<_> = self.rounds.iter().filter(|round| round.void.is_empty()).collect();
        if good.is_empty() { self.rounds.iter().collect() } else { good }
    }
}

pub(crate) fn measure(stable: &Stable, scenario: &'static Scenario, plan: Plan) -> Outcome {
    let mut turns = vec![plan.subject];
    turns.extend(scenario.references);
    if plan.all {
        turns.extend(scenario.more);
    }
    let mut seen = Vec::new();
    turns.retain(|turn| {
        let first = !seen.contains(turn);
        seen.push(*turn);
        first && stable.has(*turn)
    });
    // Memory does not drift with the machine: two rounds show that, more show nothing new.
    let rounds = if scenario.load.mode == "idle" { plan.rounds.min(2) } else { plan.rounds };
    let rounds = (1..=rounds).map(|number| {
        eprint!("{} {number}/{rounds}:", scenario.name);
        let round = play(stable, scenario, plan, &turns);
        // To and fro: nobody always follows the same neighbour, or goes first.
        turns.reverse();
        eprintln!("{}", round.void.iter().map(|why| format!(" [{why}]")).collect::<String>());
        round
    });
    Outcome { scenario, rounds: rounds.collect() }
}

fn play(stable: &Stable, scenario: &Scenario, plan: Plan, turns: &[Subject]) -> Round {
    /// Turns a subject gets in one round until the kernel's counters stand still.
    const ATTEMPTS: usize = 3;
    let mut round = Round::default();
    for &subject in turns {
        eprint!(" {}", subject.name());
        for attempt in 1..=ATTEMPTS {
            let void = match take_turn(stable, scenario, plan, subject) {
                Ok((run, moved)) => {
                    round.runs.insert(subject.name(), run);
                    moved
                }
                Err(error) => vec![error.to_string()],
            };
            if void.is_empty() {
                break;
            }
            eprint!("!");
            if attempt == ATTEMPTS {
                round.void.push(format!("{}: {}", subject.name(), void.join(", ")));
            }
        }
    }
    round
}

/// One server, started afresh, under the scenario's load; and the kernel counters that moved.
fn take_turn(
    stable: &Stable,
    scenario: &Scenario,
    plan: Plan,
    subject: Subject,
) -> Result<(Run, Vec<String>), Error> {
    if subject == Subject::Sha2 {
        return Ok((sha::hash_alone(b"xxxx", plan.timing.run), Vec::new()));
    }
    let flags = if subject == Subject::Towline { scenario.flags } else { &[] };
    let server = stable.start(subject, flags, scenario.cores)?;
    if scenario.load.mode == "idle" {
        return Ok((hold(stable, scenario, &server)?, Vec::new()));
    }
    // Where the reference is not watched, the subject is.
    let watched = subject == plan.subject && scenario.references.contains(&Subject::Unobserved);
    let scraper = server.admin.filter(|_| watched).map(Scraper::start);
    let (seen, around) = generator::run(&stable.shop, &server, scenario.load, plan.timing)?;
    scraper.map_or(Ok(()), Scraper::finish)?;
    Ok(((seen, around.queued).into(), around.moved))
}

/// Resident memory with no connection, with all of them idle after a line, and after a burst.
fn hold(stable: &Stable, scenario: &Scenario, server: &Server) -> Result<Run, Error> {
    let settled = || -> Result<f64, Error> {
        thread::sleep(Duration::from_millis(700));
        Ok(as_f64(resident_bytes(server.pid())?))
    };
    let conns = f64::from(scenario.load.conns);
    let empty = settled()?;
    let mut generator = Generator::open(&stable.shop, server, scenario.load, &[])?;
    let idle = settled()?;
    generator.burst()?;
    let after = settled()?;
    Ok(Run {
        idle_bytes: Some((idle - empty) / conns),
        burst_growth_bytes: Some((after - idle) / conns),
        ..Run::default()
    })
}

#[expect(clippy::cast_precision_loss, reason = "no process here has 2^53 bytes")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    fn round(void: &[&str]) -> Round {
        Round { runs: BTreeMap::new(), void: void.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn void_rounds_count_only_when_there_is_nothing_else() {
        let mixed = Outcome { scenario: &SCENARIOS[0], rounds: vec![round(&[]), round(&["x"])] };
        assert_eq!(mixed.counting().len(), 1);
        let lost = Outcome { scenario: &SCENARIOS[0], rounds: vec![round(&["x"]), round(&["x"])] };
        assert_eq!(lost.counting().len(), 2);
    }
}
