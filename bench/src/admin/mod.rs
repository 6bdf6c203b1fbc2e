//! Lines while somebody is at the admin port, against lines while nobody is.
//!
//! What is to be shown is smaller than what two servers differ by, which were started one after the
//! other: where their memory happens to lie is enough. So it is one server under one load that never
//! stops, and clients that are at its admin port by turns: each turn is compared with the calm before
//! and after it, in which they are elsewhere.

mod clients;
mod decoy;
mod windows;

use std::fmt::Write as _;

pub(crate) use self::clients::{Doing, run as run_clients};
use self::windows::{Seen, TURN, Window};
use crate::{
    Error,
    figure::Demand,
    generator::Load,
    implementation::Stable,
    stats::{Spread, short},
};

/// A load, and what is done at the admin port meanwhile.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    load: Load,
    doing: Doing,
}

const PINGPONG: Load = Load::new("pingpong", 100);
const FLOOD: Load = Load::new("flood", 100);

pub(crate) static SCENARIOS: [Scenario; 4] = [
    Scenario { name: "scraped-pingpong", load: PINGPONG, doing: Doing::Scrape },
    Scenario { name: "scraped-flood", load: FLOOD, doing: Doing::Scrape },
    Scenario { name: "abused-pingpong", load: PINGPONG, doing: Doing::Abuse },
    Scenario { name: "abused-flood", load: FLOOD, doing: Doing::Abuse },
];

/// Of lines in calm, how many there must be.
const LINES: Demand = Demand::AtLeast(0.99);

/// The most there was of resident memory in the second half of the clients' turns may be so much more
/// than in the first, in KiB: an allocator's own coming and going.
const GROWTH_KIB: Demand = Demand::AtMost(256.0);

/// Plays the scenarios whose names begin so, and tells in a table. `doing` stands in for what is done
/// in them.
pub(crate) fn report(
    stable: &Stable,
    only: &[String],
    doing: Option<Doing>,
    pairs: usize,
) -> Result<String, Error> {
    let mut table = String::from(
        "| scenario | figure | demanded | median | quartiles | turns | |\n|---|---|---|---|---|---|---|\n",
    );
    for scenario in select(only)? {
        eprint!("{} ", scenario.name);
        let seen = windows::watch(stable, scenario.load, doing.unwrap_or(scenario.doing), pairs)?;
        for (figure, demand, values) in figures(&seen) {
            row(&mut table, scenario.name, figure, demand, &values)?;
        }
    }
    Ok(table)
}

fn select(only: &[String]) -> Result<Vec<&'static Scenario>, Error> {
    if let Some(name) = only.iter().find(|o| !SCENARIOS.iter().any(|s| s.name.starts_with(*o))) {
        let known: Vec<_> = SCENARIOS.iter().map(|s| s.name).collect();
        return Err(format!("--only {name}: expected one of {}", known.join(", ")).into());
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| name.starts_with(o.as_str()));
    Ok(SCENARIOS.iter().filter(|scenario| wanted(scenario.name)).collect())
}

fn row(
    table: &mut String,
    name: &str,
    figure: &str,
    demand: Demand,
    values: &[f64],
) -> std::fmt::Result {
    let Some(spread) = Spread::of(values) else { return Ok(()) };
    let (low, high) = quartiles(values);
    let verdict = match demand.is_met(spread.median) {
        Some(true) => "pass",
        Some(false) => "MISS",
        None => "",
    };
    // A hundredth is what is asked about.
    let digits = |value: f64| if value < 10.0 { format!("{value:.3}") } else { short(value) };
    writeln!(
        table,
        "| {name} | {figure} | {demand} | {} | {} to {} | {} | {verdict} |",
        digits(spread.median),
        digits(low),
        digits(high),
        values.len(),
    )
}

fn quartiles(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 4], sorted[(sorted.len() * 3 / 4).min(sorted.len() - 1)])
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn figures(seen: &Seen) -> Vec<(&'static str, Demand, Vec<f64>)> {
    let visited = |of: fn(&Window) -> f64| seen.visited.iter().map(of).collect();
    let had = |of: fn(&clients::Had) -> u64| {
        seen.had.iter().map(|had| of(had) as f64 / TURN.as_secs_f64()).collect()
    };
    let (first, second) = seen.resident.split_at(seen.resident.len() / 2);
    let most = |of: &[u64]| of.iter().copied().max().unwrap_or_default() as f64 / 1024.0;
    vec![
        ("lines per second, of those in calm", LINES, ratios(seen, |w| w.lines / w.seconds)),
        (
            "lines per CPU-second of the threads that serve, of those in calm",
            LINES,
            ratios(seen, |w| w.lines / w.serving),
        ),
        (
            "lines per CPU-second of the server, of those in calm",
            Demand::Nothing,
            ratios(seen, |w| w.lines / w.all),
        ),
        ("serving threads busy, %", Demand::Nothing, visited(|w| 100.0 * w.serving / w.seconds)),
        (
            "the same in calm, %",
            Demand::Nothing,
            seen.calm.iter().map(|w| 100.0 * w.serving / w.seconds).collect(),
        ),
        (
            "admin thread, ms of CPU a second",
            Demand::Nothing,
            visited(|w| 1e3 * w.admin / w.seconds),
        ),
        ("connections of the clients a second", Demand::Nothing, had(|had| had.connections)),
        ("their answered scrapes a second", Demand::Nothing, had(|had| had.answers)),
        (
            "resident memory, KiB more in the second half than in the first",
            GROWTH_KIB,
            vec![most(second) - most(first)],
        ),
    ]
}

/// Each turn against the calm around it: what drifts steadily cancels.
fn ratios(seen: &Seen, of: fn(&Window) -> f64) -> Vec<f64> {
    let calm = seen.calm.windows(2).map(|pair| f64::midpoint(of(&pair[0]), of(&pair[1])));
    seen.visited.iter().zip(calm).map(|(window, calm)| of(window) / calm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(lines: f64) -> Window {
        Window { seconds: 1.0, lines, serving: 0.5, admin: 0.1, all: 0.6 }
    }

    #[test]
    fn a_turn_is_compared_with_the_calm_on_both_sides_of_it() {
        let seen = Seen {
            calm: vec![window(100.0), window(110.0), window(120.0)],
            visited: vec![window(105.0), window(57.5)],
            ..Seen::default()
        };
        assert_eq!(ratios(&seen, |w| w.lines / w.seconds), [1.0, 0.5]);
        assert_eq!(ratios(&seen, |w| w.lines / w.serving), [1.0, 0.5]);
    }

    #[test]
    fn quartiles_leave_a_quarter_on_either_side() {
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 4.0));
        assert_eq!(quartiles(&[7.0]), (7.0, 7.0));
    }

    #[test]
    fn scenarios_are_chosen_by_the_beginning_of_their_names() {
        let count = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            select(&only).map(|chosen| chosen.len()).ok()
        };
        assert_eq!(count(&["abused"]), Some(2));
        assert_eq!(count(&[]), Some(SCENARIOS.len()));
        assert_eq!(count(&["abusive"]), None, "a typing error must not measure nothing");
    }
}
