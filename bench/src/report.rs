//! The report of rounds: two Markdown tables and one JSON object.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    figure::{Demand, Figure, Row},
    implementation::{Implementation, Measurement},
    ratio::{Outcome, Round},
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
    measured: Option<Spread>,
    met: Option<bool>,
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
        // Of idle connections there is only memory, which stands in the table of figures.
        let baseline = Some(BASELINE).filter(|_| outcome.scenario.load.mode != "idle");
        let rows = outcome.scenario.rows.iter().copied().chain(baseline);
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
    let measured = Spread::of(&values);
    RowResult {
        scenario: outcome.scenario.name,
        subject: subject.name(),
        figure: row.figure,
        against: row.against.map(Implementation::name),
        demand: row.demand,
        measured,
        met: measured.and_then(|spread| row.demand.is_met(spread.median)),
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

impl RowResult {
    /// Pass or miss, and reasons to doubt it.
    fn mark(&self) -> String {
        let mut mark = match (self.met, self.measured) {
            (_, None) => return "not measured".to_owned(),
            (Some(true), _) => "pass".to_owned(),
            (Some(false), _) => "MISS".to_owned(),
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
pub(crate) fn demands(verdicts: &[RowResult]) -> String {
    let mut table = String::from(
        "| scenario | figure | against | demanded | measured | min to max | rounds | |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for v in verdicts {
        let (median, range) = v.measured.map_or(("–".into(), "–".into()), |s| {
            (short(s.median), format!("{} to {}", short(s.min), short(s.max)))
        });
        let rounds = match v.void_rounds {
            0 => v.rounds.to_string(),
            void => format!("{}, {void} void", v.rounds),
        };
        let figure = v.figure.describe();
        let against = v.against.unwrap_or("–");
        let _ = writeln!(
            table,
            "| {} | {figure} | {against} | {} | {median} | {range} | {rounds} | {} |",
            v.scenario,
            v.demand,
            v.mark()
        );
    }
    table
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

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn cells(runs: &[&Measurement]) -> String {
    let cell = |value: fn(&Measurement) -> Option<f64>, unit: &str| {
        let values: Vec<f64> = runs.iter().filter_map(|run| value(run)).collect();
        let shown = Spread::of(&values).filter(|s| s.median != 0.0 || unit == " B");
        shown.map_or(" – |".to_owned(), |s| format!(" {}{unit} |", short(s.median)))
    };
    [
        cell(|r| Some(r.lines_per_cpu_second()), ""),
        cell(|r| Some(1e9 / r.lines_per_cpu_second()).filter(|_| r.lines > 0), ""),
        cell(|r| Some(r.lines as f64 / r.seconds), ""),
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
