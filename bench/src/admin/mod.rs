//! Lines while clients use the admin port, against lines while they do not.
//!
//! The effect is smaller than the difference between two runs of the same server: where their memory
//! happens to lie is enough. So one server runs under one load that never stops, and clients use its
//! admin port by turns. Each turn is compared with the turns before and after it, in which the clients
//! use a decoy.

mod clients;
mod decoy;
mod windows;

use std::fmt::Write as _;

pub(crate) use self::clients::{Activity, run as run_clients};
use self::{
    clients::ClientTotals,
    windows::{Observations, TURN, Window},
};
use crate::{
    Error,
    figure::Demand,
    generator::Load,
    launcher::Launcher,
    select::select,
    stats::{Spread, short},
};

/// A load, and what clients do at the admin port meanwhile.
#[derive(Debug)]
struct Scenario {
    name: &'static str,
    load: Load,
    activity: Activity,
}

const PINGPONG: Load = Load::new("pingpong", 100);
const FLOOD: Load = Load::new("flood", 100);

static SCENARIOS: [Scenario; 4] = [
    Scenario { name: "scraped-pingpong", load: PINGPONG, activity: Activity::Scrape },
    Scenario { name: "scraped-flood", load: FLOOD, activity: Activity::Scrape },
    Scenario { name: "abused-pingpong", load: PINGPONG, activity: Activity::Abuse },
    Scenario { name: "abused-flood", load: FLOOD, activity: Activity::Abuse },
];

/// Bound of the lines with clients, relative to those without.
const LINES: Demand = Demand::AtLeast(0.99);

/// Bound of the growth of resident memory, in KiB, from the maximum of the first half of the turns with
/// clients to that of the second half: an allocator's memory varies by as much.
const GROWTH_KIB: Demand = Demand::AtMost(256.0);

/// Plays the scenarios whose names begin with one of `only` and returns a table. `activity` replaces
/// that of the scenarios.
pub(crate) fn report(
    launcher: &Launcher,
    only: &[String],
    activity: Option<Activity>,
    pairs: usize,
) -> Result<String, Error> {
    let mut table = String::from(
        "| scenario | figure | demanded | median | quartiles | turns | |\n|---|---|---|---|---|---|---|\n",
    );
    for scenario in select(&SCENARIOS, |scenario| scenario.name, only)? {
        eprint!("{} ", scenario.name);
        let activity = activity.unwrap_or(scenario.activity);
        let observations = windows::observe(launcher, scenario.load, activity, pairs)?;
        for (figure, demand, values) in figures(&observations) {
            row(&mut table, scenario.name, figure, demand, &values)?;
        }
    }
    Ok(table)
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
    let mark = match demand.is_met(spread.median) {
        Some(true) => "pass",
        Some(false) => "MISS",
        None => "",
    };
    // The bound is a hundredth from 1, so two decimals would hide it.
    let digits = |value: f64| if value < 10.0 { format!("{value:.3}") } else { short(value) };
    writeln!(
        table,
        "| {name} | {figure} | {demand} | {} | {} to {} | {} | {mark} |",
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
fn figures(seen: &Observations) -> Vec<(&'static str, Demand, Vec<f64>)> {
    let busy = |windows: &[Window]| -> Vec<f64> {
        windows.iter().map(|w| 100.0 * w.serving / w.seconds).collect()
    };
    let per_second = |of: fn(&ClientTotals) -> u64| {
        seen.totals.iter().map(|totals| of(totals) as f64 / TURN.as_secs_f64()).collect()
    };
    let (first, second) = seen.resident.split_at(seen.resident.len() / 2);
    let most = |of: &[u64]| of.iter().max().map(|bytes| *bytes as f64 / 1024.0);
    // One turn has no first half, and so no growth.
    let growth = most(second).zip(most(first)).map(|(second, first)| second - first);
    vec![
        ("lines per second, relative to no clients", LINES, ratios(seen, |w| w.lines / w.seconds)),
        (
            "lines per CPU-second of the serving threads, relative to no clients",
            LINES,
            ratios(seen, |w| w.lines / w.serving),
        ),
        (
            "lines per CPU-second of the server, relative to no clients",
            Demand::Nothing,
            ratios(seen, |w| w.lines / w.all),
        ),
        ("serving threads busy, %", Demand::Nothing, busy(&seen.with_clients)),
        ("the same without clients, %", Demand::Nothing, busy(&seen.without_clients)),
        (
            "admin thread, ms of CPU per second",
            Demand::Nothing,
            seen.with_clients.iter().map(|w| 1e3 * w.admin / w.seconds).collect(),
        ),
        (
            "connections of the clients per second",
            Demand::Nothing,
            per_second(|totals| totals.connections),
        ),
        ("answered scrapes per second", Demand::Nothing, per_second(|totals| totals.answers)),
        (
            "resident memory, KiB more in the second half than in the first",
            GROWTH_KIB,
            growth.into_iter().collect(),
        ),
    ]
}

/// Each turn with clients relative to the mean of the turns around it: a steady drift cancels out.
fn ratios(seen: &Observations, of: fn(&Window) -> f64) -> Vec<f64> {
    let around =
        seen.without_clients.windows(2).map(|pair| f64::midpoint(of(&pair[0]), of(&pair[1])));
    seen.with_clients.iter().zip(around).map(|(window, around)| of(window) / around).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(lines: f64) -> Window {
        Window { seconds: 1.0, lines, serving: 0.5, admin: 0.1, all: 0.6 }
    }

    #[test]
    fn a_turn_is_compared_with_those_on_both_sides_of_it() {
        let seen = Observations {
            without_clients: vec![window(100.0), window(110.0), window(120.0)],
            with_clients: vec![window(105.0), window(57.5)],
            ..Observations::default()
        };
        assert_eq!(ratios(&seen, |w| w.lines / w.seconds), [1.0, 0.5]);
        assert_eq!(ratios(&seen, |w| w.lines / w.serving), [1.0, 0.5]);
    }

    #[test]
    fn quartiles_leave_a_quarter_on_either_side() {
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 4.0));
        assert_eq!(quartiles(&[7.0]), (7.0, 7.0));
    }
}
