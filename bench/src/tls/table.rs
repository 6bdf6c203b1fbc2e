//! The scenarios of `towline-bench tls`, and the figures demanded.

use super::{
    bad_handshakes,
    keys::{Algorithm, Keys},
    swap,
};
use crate::{
    Error,
    faults::Finding,
    figure::{
        Demand::{AtLeast, AtMost, Nothing},
        Figure, Row,
    },
    generator::Load,
    implementation::Implementation::{self, BareTokioRustls, FullHandshakes},
    launcher::{Cores, Launcher},
    ratio::Plan,
    scenario::Scenario,
};

/// A scenario, by its name.
#[derive(Debug)]
pub(crate) struct TlsScenario {
    pub(crate) name: &'static str,
    /// Of the server's key.
    pub(crate) algorithm: Algorithm,
    pub(crate) kind: Kind,
}

/// How a scenario is measured.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Servers take turns.
    Ratio(Scenario),
    /// towline alone.
    Findings {
        /// What happens, in a few words.
        what: &'static str,
        /// Measures.
        run: fn(&Launcher, &Keys, Plan) -> Result<Vec<Finding>, Error>,
    },
}

/// Connections of the loads of lines.
const CONNECTIONS: u32 = 100;

/// Connections that make handshakes at a time.
const HANDSHAKES_AT_ONCE: u32 = 32;

/// Most resident memory of an idle connection, in bytes.
const IDLE_BYTES_MAX: f64 = 12.0 * 1024.0;

pub(crate) static SCENARIOS: [TlsScenario; 8] = [
    ratio(
        "pingpong",
        "tls-pingpong",
        Load::new("pingpong", CONNECTIONS),
        &[BareTokioRustls],
        &[against(Figure::LinesPerCpuSecond, BareTokioRustls, 0.9)],
    ),
    ratio(
        "flood",
        "tls-flood",
        Load::new("flood", CONNECTIONS),
        &[BareTokioRustls],
        &[against(Figure::LinesPerCpuSecond, BareTokioRustls, 1.0)],
    ),
    ratio(
        "handshakes",
        "tls-handshakes",
        Load::new("handshakes", HANDSHAKES_AT_ONCE),
        &[BareTokioRustls],
        &[against(Figure::HandshakesPerCpuSecond, BareTokioRustls, 0.95)],
    ),
    ratio(
        "resumed",
        "tls-resumed",
        Load::new("resumed", HANDSHAKES_AT_ONCE),
        &[BareTokioRustls, FullHandshakes],
        &[
            against(Figure::HandshakesPerCpuSecond, FullHandshakes, 3.0),
            Row {
                figure: Figure::HandshakesPerCpuSecond,
                against: Some(BareTokioRustls),
                demand: Nothing,
            },
        ],
    ),
    TlsScenario {
        algorithm: Algorithm::Rsa2048,
        ..ratio(
            "rsa-resumed",
            "tls-rsa-resumed",
            Load::new("resumed", HANDSHAKES_AT_ONCE),
            &[FullHandshakes],
            &[against(Figure::HandshakesPerCpuSecond, FullHandshakes, 3.0)],
        )
    },
    ratio(
        "idle-10000",
        "tls-idle-10000",
        Load::new("idle", 10_000),
        &[BareTokioRustls],
        &[Row { figure: Figure::IdleBytes, against: None, demand: AtMost(IDLE_BYTES_MAX) }],
    ),
    TlsScenario {
        name: "bad-handshakes",
        algorithm: Algorithm::P256,
        kind: Kind::Findings { what: bad_handshakes::WHAT, run: bad_handshakes::run },
    },
    TlsScenario {
        name: "swap",
        algorithm: Algorithm::P256,
        kind: Kind::Findings { what: swap::WHAT, run: swap::run },
    },
];

const fn against(figure: Figure, other: Implementation, least: f64) -> Row {
    Row { figure, against: Some(other), demand: AtLeast(least) }
}

/// `row` is its name in tables, in which those of `ratio` stand too.
const fn ratio(
    name: &'static str,
    row: &'static str,
    load: Load,
    references: &'static [Implementation],
    rows: &'static [Row],
) -> TlsScenario {
    let scenario = Scenario {
        name: row,
        load,
        flags: &[],
        shared_flags: &[],
        cores: Cores::One,
        references,
        more: &[],
        rows,
        is_default: true,
    };
    TlsScenario { name, algorithm: Algorithm::P256, kind: Kind::Ratio(scenario) }
}
