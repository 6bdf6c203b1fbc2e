//! TLS: towline beside a bare tokio-rustls, which take turns, and towline alone under what it must bear.
//!
//! | file | holds |
//! |---|---|
//! | `table.rs` | the scenarios, and the figures demanded |
//! | `keys.rs` | certificates made for a scenario |
//! | `client.rs` | clients, and the thread that they run on |
//! | `lines.rs` | the loads `pingpong` and `flood` |
//! | `handshakes.rs` | the loads `handshakes` and `resumed` |
//! | `idle.rs` | memory of idle connections |
//! | `turn.rs` | one measurement of one server |
//! | `bad_handshakes.rs` | stalled and failing handshakes beside well-behaved clients |
//! | `swap.rs` | certificates that are replaced under lines |
//! | `reference.rs` | the server that is compared with |

mod bad_handshakes;
mod client;
mod handshakes;
mod idle;
mod keys;
mod lines;
mod reference;
mod swap;
mod table;
mod turn;

use self::{keys::Keys, turn::take_turn};
pub(crate) use self::{
    reference::{ReferenceArgs, serve},
    table::{Kind, SCENARIOS, TlsScenario},
};
use crate::{
    Error,
    faults::FindingsTable,
    launcher::Launcher,
    ratio::{self, Outcome, Plan},
    scenario::Scenario,
};

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// Of the scenarios in which servers take turns.
    pub(crate) outcomes: Vec<Outcome>,
    /// Of the others.
    pub(crate) findings: FindingsTable,
}

/// Plays scenarios in their order.
pub(crate) fn measure(
    launcher: &Launcher,
    scenarios: &[&'static TlsScenario],
    plan: Plan,
) -> Result<Results, Error> {
    let mut results = Results::default();
    for scenario in scenarios {
        let keys = Keys::write(&launcher.programs, scenario.algorithm)?;
        match &scenario.kind {
            Kind::Ratio(ratio) => results.outcomes.push(play(launcher, &keys, ratio, plan)),
            Kind::Findings { what, run } => {
                eprintln!("{}", scenario.name);
                results.findings.add(scenario.name, what, &run(launcher, &keys, plan)?);
            }
        }
    }
    Ok(results)
}

fn play(launcher: &Launcher, keys: &Keys, scenario: &'static Scenario, plan: Plan) -> Outcome {
    ratio::measure_by(launcher, scenario, plan, |subject| {
        take_turn(launcher, keys, scenario, plan, subject)
    })
}
