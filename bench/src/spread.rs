//! How much the rounds of a run differ, and two runs of one build.

use std::fmt::Write as _;

use crate::{
    figure::Figure,
    implementation::Implementation,
    ratio::Outcome,
    stats::{Spread, short},
};

/// A sentence about the rounds of the subject.
pub(crate) fn within_run(outcomes: &[Outcome], subject: Implementation) -> String {
    let name = subject.name();
    let widths: Vec<(f64, &str)> = outcomes
        .iter()
        .filter_map(|outcome| {
            let ns = outcome.ns_per_line(subject).filter(|_| outcome.rounds.len() > 1)?;
            Some((100.0 * (ns.max / ns.min - 1.0), outcome.scenario.name))
        })
        .collect();
    let Some(median) = Spread::of(&widths.iter().map(|(width, _)| *width).collect::<Vec<_>>())
    else {
        return String::new();
    };
    let widest = widths.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or("", |widest| widest.1);
    format!(
        "The slowest round of {name} took {} % more CPU per line than its fastest (median of the \
         scenarios), at most {} % ({widest}).\n",
        short(median.median),
        short(median.max),
    )
}

/// In which of its regimes C raw was: its read sizes, and with them its cost, settle on one of two
/// values per run of the server.
pub(crate) fn regimes(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.scenario.load.mode == "flood") {
        let rounds = outcome.ns_of_rounds(Implementation::CRaw);
        let Some((fast, slow)) = split(rounds) else { continue };
        let name = outcome.scenario.name;
        let median = |group: &[f64]| Spread::of(group).map_or(0.0, |ns| ns.median);
        let _ = match slow.as_slice() {
            [] => {
                let (count, ns) = (fast.len(), short(median(&fast)));
                writeln!(text, "c-raw in {name}: one regime, {count} rounds at {ns} ns per line.")
            }
            _ => writeln!(
                text,
                "c-raw in {name}: two regimes, {} rounds at {} ns per line and {} at {}.",
                fast.len(),
                short(median(&fast)),
                slow.len(),
                short(median(&slow)),
            ),
        };
    }
    text
}

/// Splits values at the widest gap between neighbours, where the upper is at least 1.4 times the lower;
/// without such a gap the second group is empty.
fn split(mut values: Vec<f64>) -> Option<(Vec<f64>, Vec<f64>)> {
    const GAP: f64 = 1.4;
    values.sort_by(f64::total_cmp);
    values.first()?;
    let gaps = values.windows(2).enumerate().map(|(at, pair)| (pair[1] / pair[0], at + 1));
    let widest = gaps.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(gap, _)| *gap >= GAP);
    let slow = values.split_off(widest.map_or(values.len(), |(_, at)| at));
    Some((values, slow))
}

/// The table of a build against itself: what a difference of two runs has to exceed to mean anything.
pub(crate) fn between_runs(outcomes: &[Outcome], subject: Implementation) -> String {
    let mut table = String::from(
        "The baseline is the same build: this is how far two runs differ.\n\n\
         | scenario | figure | one server against another (smallest to largest) | \
         medians of all rounds | rounds |\n|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        for figure in [Figure::NsPerLine, Figure::P99] {
            let pairs: Vec<(f64, f64)> = outcome
                .counting()
                .iter()
                .filter_map(|round| {
                    let run = |name: Implementation| round.runs.get(name.name());
                    let value = |name| figure.of(run(name)?, None).filter(|value| *value > 0.0);
                    Some((value(subject)?, value(Implementation::Baseline)?))
                })
                .collect();
            let ratios: Vec<f64> = pairs.iter().map(|(own, other)| own / other).collect();
            let (own, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let medians = (Spread::of(&ratios), Spread::of(&own), Spread::of(&other));
            let (Some(ratio), Some(own), Some(other)) = medians else { continue };
            let _ = writeln!(
                table,
                "| {} | {} | {:.3} to {:.3} | {:.3} | {} |",
                outcome.scenario.name,
                figure.describe_alone(),
                ratio.min,
                ratio.max,
                own.median / other.median,
                ratios.len(),
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_split_only_at_a_wide_gap() {
        let two = split(vec![2.8, 1.2, 1.25, 2.7, 1.1]);
        assert_eq!(two, Some((vec![1.1, 1.2, 1.25], vec![2.7, 2.8])));
        assert_eq!(split(vec![1.3, 1.2, 1.6]), Some((vec![1.2, 1.3, 1.6], Vec::new())));
        assert_eq!(split(vec![]), None);
    }
}
