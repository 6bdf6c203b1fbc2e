//! The report of rounds: two Markdown tables and one JSON object.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    figure::{Demand, Figure, Row},
    implementation::{Implementation, Measurement},
    ratio::{Outcome, Round},
    scenario::Scenario,
    stats::{Spread, short},
};

/// A row of the table of demands: a figure, its bound, and whether it was met.
#[derive(Debug, Serialize)]
pub(crate) struct RowResult {
    scenario: &'static str,
    subject: &'static str,
    figure: Figure,
    against: Option<&'static str>,
    demand: Demand,
    /// Median and spread of the rounds; of the slowest round, relative to the median round.
    measured: Option<Spread>,
    /// What was compared with the bound: the median, or the slowest round.
    judged: Option<f64>,
    met: Option<bool>,
    /// CPU time per line of the subject and of the reference, in nanoseconds.
    own_ns: Option<Spread>,
    reference_ns: Option<Spread>,
    rounds: usize,
    void_rounds: usize,
    /// Largest of the medians of the implementations compared.
    queued_share: f64,
}

#[derive(Debug, Serialize)]
struct Record<'a> {
    host: &'a str,
    verdicts: &'a [RowResult],
    scenarios: Vec<ScenarioRecord<'a>>,
}

#[derive(Debug, Serialize)]
struct ScenarioRecord<'a> {
    name: &'static str,
    rounds: &'a [Round],
}

/// Compares every demanded figure with its bound.
pub(crate) fn evaluate(outcomes: &[Outcome], subject: Implementation) -> Vec<RowResult> {
    let rows = outcomes.iter().flat_map(|outcome| {
        let rows = outcome.scenario.rows.iter().copied().chain(further_rows(outcome.scenario));
        rows.map(move |row| (outcome, row))
    });
    rows.filter(|(outcome, row)| {
        // No row for a reference that did not run, or that is the subject itself.
        let ran =
            |name: Implementation| outcome.rounds.iter().any(|r| r.runs.contains_key(name.name()));
        row.demand != Demand::Nothing && row.against != Some(Implementation::Baseline)
            || row.against.is_none_or(|other| other != subject && ran(other))
    })
    .map(|(outcome, row)| evaluate_row(outcome, row, subject))
    .collect()
}

/// Lines per CPU-second against another build, and against the references without a bound. Of idle
/// connections there is only memory.
fn further_rows(scenario: &Scenario) -> impl Iterator<Item = Row> {
    let is_listed = |other| scenario.rows.iter().any(|row| row.against == Some(other));
    let echoing = scenario.references.iter().chain(scenario.more).copied();
    let mut others: Vec<_> = echoing.filter(|other| !is_listed(*other)).collect();
    let mut listed = Vec::new();
    others.retain(|other| {
        let first = !listed.contains(other);
        listed.push(*other);
        first
    });
    let informing = others.into_iter().map(|other| Row {
        figure: Figure::LinesPerCpuSecond,
        against: Some(other),
        demand: Demand::Nothing,
    });
    informing.chain([BASELINE]).filter(|_| !scenario.is_idle())
}

/// Against another build of towline: not slower.
const BASELINE: Row = Row {
    figure: Figure::LinesPerCpuSecond,
    against: Some(Implementation::Baseline),
    demand: Demand::AtLeast(0.99),
};

fn evaluate_row(outcome: &Outcome, row: Row, subject: Implementation) -> RowResult {
    let values: Vec<f64> = outcome
        .counting()
        .iter()
        .filter_map(|round| {
            let own = round.runs.get(subject.name())?;
            match row.against {
                None => row.figure.of(own, None),
                Some(other) => row.figure.of(own, Some(round.runs.get(other.name())?)),
            }
        })
        .collect();
    let judged = row.figure.judge(&values);
    let measured = judged.map(|(_, spread)| spread);
    let judged = judged.map(|(value, _)| value);
    RowResult {
        scenario: outcome.scenario.name,
        subject: subject.name(),
        figure: row.figure,
        against: row.against.map(Implementation::name),
        demand: row.demand,
        measured,
        judged,
        met: judged.and_then(|value| row.demand.is_met(value)),
        own_ns: outcome.ns_per_line(subject),
        reference_ns: row.against.and_then(|other| outcome.ns_per_line(other)),
        rounds: outcome.rounds.len(),
        queued_share: queued_share(outcome, [Some(subject), row.against]),
        void_rounds: outcome.rounds.iter().filter(|round| !round.void.is_empty()).count(),
    }
}

fn queued_share(outcome: &Outcome, compared: [Option<Implementation>; 2]) -> f64 {
    let median = |subject: Implementation| {
        let runs = outcome.counting().into_iter().filter_map(|r| r.runs.get(subject.name()));
        Spread::of(&runs.map(|run| run.queued_share).collect::<Vec<_>>()).map(|s| s.median)
    };
    compared.into_iter().flatten().filter_map(median).fold(0.0, f64::max)
}

/// Share of the window spent waiting for a core beyond which latencies are those of other processes.
const CROWDED: f64 = 0.05;

/// The words of the table of demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    Terminal,
    /// As in docs/BENCHMARKS.md.
    Document,
}

impl RowResult {
    /// Pass or miss, and reasons to doubt it.
    fn mark(&self, wording: Wording) -> String {
        let (pass, miss) = match wording {
            Wording::Terminal => ("pass", "MISS"),
            Wording::Document => ("met", "missed"),
        };
        let mut mark = match (self.met, self.measured) {
            (_, None) => return "not measured".to_owned(),
            (Some(true), _) => pass.to_owned(),
            (Some(false), _) => miss.to_owned(),
            (None, _) => String::new(),
        };
        if self.void_rounds == self.rounds {
            mark.push_str(" (every round void)");
        }
        if self.figure.is_latency() && self.queued_share > CROWDED {
            let share = 100.0 * self.queued_share;
            let _ = write!(mark, " (crowded: {share:.0} % of the time waiting for a core)");
        }
        mark
    }
}

/// The table of demanded and measured figures.
pub(crate) fn demands(verdicts: &[RowResult], wording: Wording) -> String {
    let mut table = String::from(
        "| scenario | figure | against | demanded | measured | min to max | rounds | ns per line | \
         reference, ns per line | |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for v in verdicts {
        let measured = v.judged.map_or("–".to_owned(), short);
        let spread = v.measured.map_or("–".to_owned(), range);
        let rounds = match v.void_rounds {
            0 => v.rounds.to_string(),
            void => format!("{}, {void} void", v.rounds),
        };
        let ns = |spread: Option<Spread>| match spread {
            Some(ns) => format!("{} ({})", short(ns.median), range(ns)),
            None => "–".to_owned(),
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {measured} | {spread} | {rounds} | {} | {} | {} |",
            v.scenario,
            v.figure.describe(),
            v.against.unwrap_or("–"),
            v.demand,
            ns(v.own_ns),
            ns(v.reference_ns),
            v.mark(wording)
        );
    }
    table
}

fn range(spread: Spread) -> String {
    format!("{} to {}", short(spread.min), short(spread.max))
}

/// The table of every implementation's own figures: medians over the rounds that count.
pub(crate) fn figures(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| scenario | server | lines per server-CPU-s | ns per line | lines/s | server busy | \
         load busy | waiting for a core | p50 µs | p99 µs | bytes per connection | after a burst |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let rounds = outcome.counting();
        let mut names: Vec<_> = rounds.iter().flat_map(|r| r.runs.keys().copied()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let runs: Vec<&Measurement> = rounds.iter().filter_map(|r| r.runs.get(name)).collect();
            let _ = writeln!(table, "| {} | {name} |{}", outcome.scenario.name, cells(&runs));
        }
    }
    table
}

fn cells(runs: &[&Measurement]) -> String {
    let cell = |value: fn(&Measurement) -> Option<f64>, unit: &str| {
        let values: Vec<f64> = runs.iter().filter_map(|run| value(run)).collect();
        let shown = Spread::of(&values).filter(|s| s.median != 0.0 || unit == " B");
        shown.map_or(" – |".to_owned(), |s| format!(" {}{unit} |", short(s.median)))
    };
    [
        cell(|r| Some(r.lines_per_cpu_second()), ""),
        cell(Measurement::ns_per_line, ""),
        cell(|r| Some(r.lines_per_second()), ""),
        cell(|r| Some(100.0 * r.cpu_seconds / r.seconds), " %"),
        cell(|r| Some(100.0 * r.generator_cpu_seconds / r.seconds), " %"),
        cell(|r| Some(100.0 * r.queued_share), " %"),
        cell(|r| Some(r.p50_us), ""),
        cell(|r| Some(r.p99_us), ""),
        cell(|r| r.idle_bytes, " B"),
        cell(|r| Some(r.idle_bytes? + r.burst_growth_bytes?), " B"),
    ]
    .concat()
}

/// The reasons for which rounds are void, one per line.
pub(crate) fn voids(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        for (number, round) in outcome.rounds.iter().enumerate() {
            for why in &round.void {
                let _ = writeln!(text, "- {} round {}: {why}", outcome.scenario.name, number + 1);
            }
        }
    }
    text
}

pub(crate) fn json(
    host: &str,
    outcomes: &[Outcome],
    verdicts: &[RowResult],
) -> serde_json::Result<String> {
    let scenarios = outcomes
        .iter()
        .map(|outcome| ScenarioRecord { name: outcome.scenario.name, rounds: &outcome.rounds });
    serde_json::to_string_pretty(&Record { host, verdicts, scenarios: scenarios.collect() })
}
