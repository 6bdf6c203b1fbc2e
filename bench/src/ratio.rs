//! Runs scenarios: the implementations take turns, round after round, so that a machine that becomes
//! slower does so for all of them.

use std::{collections::BTreeMap, io, net::SocketAddr, ops::ControlFlow, thread, time::Duration};

use serde::Serialize;

use crate::{
    Error,
    child::Server,
    generator::{self, Generator, Timing},
    implementation::{Implementation, Measurement},
    kernel::resident_bytes,
    launcher::Launcher,
    metrics,
    periodic::Periodic,
    scenario::Scenario,
    sha,
    stats::Spread,
};

/// The flags of the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The implementation that is compared with the references.
    pub(crate) subject: Implementation,
    pub(crate) rounds: u32,
    pub(crate) timing: Timing,
    pub(crate) all: bool,
}

/// One turn of every implementation.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Round {
    pub(crate) runs: BTreeMap<&'static str, Measurement>,
    /// Why the round does not count.
    pub(crate) void: Vec<String>,
}

/// All rounds of a scenario.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: &'static Scenario,
    pub(crate) rounds: Vec<Round>,
}

impl Outcome {
    /// The rounds that are not void; all of them if every one is, and then the report says so.
    pub(crate) fn counting(&self) -> Vec<&Round> {
        let good: Vec<_> = self.rounds.iter().filter(|round| round.void.is_empty()).collect();
        if good.is_empty() { self.rounds.iter().collect() } else { good }
    }

    /// CPU time per line of each round that counts, in nanoseconds.
    pub(crate) fn ns_of_rounds(&self, implementation: Implementation) -> Vec<f64> {
        let runs = self.counting().into_iter();
        runs.filter_map(|round| round.runs.get(implementation.name())?.ns_per_line()).collect()
    }

    pub(crate) fn ns_per_line(&self, implementation: Implementation) -> Option<Spread> {
        Spread::of(&self.ns_of_rounds(implementation))
    }
}

/// Plays all rounds of a scenario.
pub(crate) fn measure(launcher: &Launcher, scenario: &'static Scenario, plan: Plan) -> Outcome {
    measure_by(launcher, scenario, plan, |subject| take_turn(launcher, scenario, plan, subject))
}

/// A measurement, and what disturbed it.
pub(crate) type Turn = Result<(Measurement, Vec<String>), Error>;

/// Plays all rounds of a scenario, in which `take` measures each implementation.
pub(crate) fn measure_by(
    launcher: &Launcher,
    scenario: &'static Scenario,
    plan: Plan,
    mut take: impl FnMut(Implementation) -> Turn,
) -> Outcome {
    let mut turns = implementations(launcher, scenario, plan);
    let rounds = scenario.rounds(plan.rounds);
    let rounds = (1..=rounds).map(|number| {
        eprint!("{} {number}/{rounds}:", scenario.name);
        let round = play(&turns, &mut take);
        // In alternating order, so that none is always first or follows the same other one.
        turns.reverse();
        eprintln!("{}", round.void.iter().map(|why| format!(" [{why}]")).collect::<String>());
        round
    });
    Outcome { scenario, rounds: rounds.collect() }
}

/// The implementations that take turns.
pub(crate) fn implementations(
    launcher: &Launcher,
    scenario: &Scenario,
    plan: Plan,
) -> Vec<Implementation> {
    let mut turns = vec![plan.subject];
    turns.push(Implementation::Baseline);
    turns.extend(scenario.references);
    if plan.all {
        turns.extend(scenario.more);
    }
    let mut listed = Vec::new();
    turns.retain(|turn| {
        let first = !listed.contains(turn);
        listed.push(*turn);
        first && launcher.has(*turn)
    });
    turns
}

/// About how long the rounds of a scenario take.
pub(crate) fn time_of(launcher: &Launcher, scenario: &Scenario, plan: Plan) -> Duration {
    let turns = implementations(launcher, scenario, plan).len();
    let turns = u32::try_from(turns).unwrap_or(u32::MAX);
    scenario.turn_time(plan.timing) * turns * scenario.rounds(plan.rounds)
}

fn play(turns: &[Implementation], take: &mut impl FnMut(Implementation) -> Turn) -> Round {
    /// Turns of an implementation in one round, until the kernel's counters do not change in one.
    const ATTEMPTS: usize = 3;
    let mut round = Round::default();
    for &subject in turns {
        eprint!(" {}", subject.name());
        for attempt in 1..=ATTEMPTS {
            let void = match take(subject) {
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

/// Measures a new server under the scenario's load; returns the kernel counters that grew, too.
fn take_turn(
    launcher: &Launcher,
    scenario: &Scenario,
    plan: Plan,
    subject: Implementation,
) -> Turn {
    if subject == Implementation::Sha2 {
        return Ok((sha::hash_alone(b"xxxx", plan.timing.run), Vec::new()));
    }
    let is_build = matches!(subject, Implementation::Towline | Implementation::Baseline);
    let own: &[&str] = if is_build { scenario.flags } else { &[] };
    let server = launcher.start(subject, &[scenario.shared_flags, own].concat(), scenario.cores)?;
    if scenario.is_idle() {
        return Ok((hold(launcher, scenario, &server)?, Vec::new()));
    }
    // Against a reference without metrics, the subject is scraped.
    let is_scraped =
        subject == plan.subject && scenario.references.contains(&Implementation::Unobserved);
    let scraper = server.admin.filter(|_| is_scraped).map(scrape_every_second);
    let (report, conditions) =
        generator::run(&launcher.programs, &server, scenario.load, plan.timing)?;
    if let Some(scraper) = scraper {
        scraper.finish()??;
    }
    Ok(((report, conditions.queued).into(), conditions.moved))
}

/// Scrapes as often as a Prometheus does at most; the result is the first error.
fn scrape_every_second(admin: SocketAddr) -> Periodic<io::Result<()>> {
    const INTERVAL: Duration = Duration::from_secs(1);
    Periodic::start(INTERVAL, Ok(()), move |result| {
        *result = metrics::fetch(admin, "/metrics").and_then(|answer| {
            match answer.contains("\ntowline_lines_received_total ") {
                true => Ok(()),
                false => Err(io::Error::other("/metrics has no towline_lines_received_total")),
            }
        });
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
}

/// Resident memory with no connection, with all of them idle after a line, and after a burst.
fn hold(launcher: &Launcher, scenario: &Scenario, server: &Server) -> Result<Measurement, Error> {
    let settled = || -> Result<f64, Error> {
        thread::sleep(Duration::from_millis(700));
        Ok(as_f64(resident_bytes(server.pid())?))
    };
    let conns = f64::from(scenario.load.conns);
    let empty = settled()?;
    let mut generator = Generator::open(&launcher.programs, server, scenario.load, &[])?;
    let idle = settled()?;
    generator.burst()?;
    let after = settled()?;
    Ok(Measurement {
        idle_bytes: Some((idle - empty) / conns),
        burst_growth_bytes: Some((after - idle) / conns),
        ..Measurement::default()
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
    fn void_rounds_count_only_when_all_rounds_are_void() {
        let mixed = Outcome { scenario: &SCENARIOS[0], rounds: vec![round(&[]), round(&["x"])] };
        assert_eq!(mixed.counting().len(), 1);
        let lost = Outcome { scenario: &SCENARIOS[0], rounds: vec![round(&["x"]), round(&["x"])] };
        assert_eq!(lost.counting().len(), 2);
    }
}
