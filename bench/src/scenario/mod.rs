//! A scenario: a load, the implementations that take turns under it, and the figures demanded.

mod table;

use std::time::Duration;

pub(crate) use table::SCENARIOS;

use crate::{
    figure::{Demand, Figure, Row},
    generator::{Load, Timing},
    implementation::Implementation::{self, BareTokio, CLines, CRaw, RawTokio, TailTokio},
    launcher::Cores,
};

/// A load, the implementations that take turns under it, and the figures read from them.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    /// Flags of towline beside the common ones.
    pub(crate) flags: &'static [&'static str],
    /// Flags of every variant of towline that takes a turn.
    pub(crate) shared_flags: &'static [&'static str],
    pub(crate) cores: Cores,
    pub(crate) references: &'static [Implementation],
    /// References that only `--all` adds: their figures inform and have no bound.
    pub(crate) more: &'static [Implementation],
    /// The demanded figures. Lines per CPU-second are shown against every implementation that took a
    /// turn, so only those with a bound are listed.
    pub(crate) rows: &'static [Row],
    /// Whether it is measured without `--only` and `--all`.
    pub(crate) is_default: bool,
}

const fn row(figure: Figure, against: Option<Implementation>, demand: Demand) -> Row {
    Row { figure, against, demand }
}

const fn throughput(against: Implementation, demand: Demand) -> Row {
    row(Figure::LinesPerCpuSecond, Some(against), demand)
}

impl Scenario {
    /// One thread of towline with its defaults, on the servers' core.
    const fn new(
        name: &'static str,
        load: Load,
        references: &'static [Implementation],
        rows: &'static [Row],
    ) -> Self {
        Self {
            name,
            load,
            flags: &[],
            shared_flags: &[],
            cores: Cores::One,
            references,
            more: &[],
            rows,
            is_default: true,
        }
    }

    /// Lines that are echoed: any of the servers that echo may take a turn.
    const fn echo(
        name: &'static str,
        load: Load,
        references: &'static [Implementation],
        rows: &'static [Row],
    ) -> Self {
        const ECHOING: &[Implementation] = &[BareTokio, CRaw, TailTokio, RawTokio, CLines];
        Self { more: ECHOING, ..Self::new(name, load, references, rows) }
    }

    const fn flags(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }

    const fn shared_flags(self, shared_flags: &'static [&'static str]) -> Self {
        Self { shared_flags, ..self }
    }

    const fn more(self, more: &'static [Implementation]) -> Self {
        Self { more, ..self }
    }

    /// The server may use the load's core too.
    const fn on_all_cores(self) -> Self {
        Self { cores: Cores::All, ..self }
    }

    const fn on_request(self) -> Self {
        Self { is_default: false, ..self }
    }

    /// Whether this holds idle connections and measures memory, instead of lines.
    pub(crate) fn is_idle(&self) -> bool {
        self.load.mode == "idle"
    }

    /// Rounds of this scenario when `rounds` are requested. Memory does not vary with the machine's
    /// speed: two rounds are enough.
    pub(crate) fn rounds(&self, rounds: u32) -> u32 {
        if self.is_idle() { rounds.min(2) } else { rounds }
    }

    /// About how long one turn takes.
    pub(crate) fn turn_time(&self, timing: Timing) -> Duration {
        /// Starting and ending a server and a generator.
        const START: Duration = Duration::from_millis(150);
        /// Opening and closing a connection, with its first line.
        const CONNECTION: Duration = Duration::from_micros(60);
        /// Three pauses until memory is settled, and a burst.
        const HOLD: Duration = Duration::from_secs(3);
        let connections = CONNECTION * (self.load.conns + self.load.pipes);
        let measured = if self.is_idle() { HOLD } else { timing.warm + timing.run };
        START + connections + measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_refers_to_an_implementation_that_takes_a_turn() {
        for scenario in &SCENARIOS {
            for against in scenario.rows.iter().filter_map(|row| row.against) {
                let mut turns = scenario.references.iter().chain(scenario.more).copied();
                let is_build = against == Implementation::Baseline;
                assert!(is_build || turns.any(|s| s == against), "{}: {against:?}", scenario.name);
            }
        }
    }

    #[test]
    fn no_two_scenarios_have_one_name() {
        let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
