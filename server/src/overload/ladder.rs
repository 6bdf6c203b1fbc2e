//! How far to go under which pressure: pure arithmetic, no clock and no I/O.

use crate::live_config::{Mitigation, TENTHS};

/// Use over limit, of what a server can run out of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Pressure {
    pub connections: f64,
    pub descriptors: f64,
    /// Of the memory for the buffers of connections.
    pub memory: f64,
}

/// Timeouts shrink from here on, and are a tenth of themselves there.
const SHRINK: [f64; 2] = [0.85, 0.95];
const SHED: f64 = 0.92;
const REFUSE: f64 = 0.95;

/// A step is left so far below where it is taken, so that it is not left and taken all the time.
const HYSTERESIS: f64 = 0.03;

/// The relief for a pressure, after what was done so far.
///
/// Connections and descriptors shorten `timeouts.idle` alone. To shed lines would free neither, and
/// their limits are no limits if connections are turned away below them. Memory is what the buffers
/// of connections hold; those that are idle hold none, so besides shedding and refusing it is the
/// timeouts of those that hold some which shrink.
pub(super) fn relief(pressure: Pressure, before: Mitigation) -> Mitigation {
    let all = pressure.memory.max(pressure.connections).max(pressure.descriptors);
    let step = |taken: bool, at: f64| pressure.memory >= if taken { at - HYSTERESIS } else { at };
    Mitigation {
        idle_tenths: tenths(all, before.idle_tenths),
        held_tenths: tenths(pressure.memory, before.held_tenths),
        sheds: step(before.sheds, SHED),
        refuses: step(before.refuses, REFUSE),
    }
}

/// In steps of a tenth, as each change wakes every connection.
fn tenths(pressure: f64, before: u32) -> u32 {
    let left = |pressure: f64| {
        let above = ((pressure - SHRINK[0]) / (SHRINK[1] - SHRINK[0])).clamp(0.0, 1.0);
        TENTHS - (above * f64::from(TENTHS - 1)).round() as u32
    };
    // Down at once; up only as far as it would not come down again at once.
    left(pressure).min(before).max(left(pressure + HYSTERESIS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(pressures: &[f64]) -> Mitigation {
        pressures.iter().fold(Mitigation::NONE, |before, &memory| {
            relief(Pressure { memory, ..Pressure::default() }, before)
        })
    }

    #[test]
    fn fault_17_each_step_is_taken_at_its_pressure_and_left_below_it() {
        assert_eq!(memory(&[0.84]), Mitigation::NONE);
        assert_eq!(
            memory(&[0.90]),
            Mitigation { idle_tenths: 5, held_tenths: 5, ..Mitigation::NONE }
        );
        assert_eq!(memory(&[0.92]).steps(), [true, true, false]);
        assert_eq!(memory(&[0.95]).steps(), [true, true, true]);
        assert_eq!(memory(&[0.95]).held_tenths, 1);
        assert_eq!(memory(&[7.0]).held_tenths, 1);
        // On the way down each is left a little below where it was taken.
        assert_eq!(memory(&[0.96, 0.93]).steps(), [true, true, true]);
        assert_eq!(memory(&[0.96, 0.91]).steps(), [true, true, false]);
        assert_eq!(memory(&[0.96, 0.88]).steps(), [true, false, false]);
        assert_eq!(memory(&[0.96, 0.81]), Mitigation::NONE);
    }

    #[test]
    fn a_server_that_is_full_and_nothing_else_turns_nobody_away_and_sheds_nothing() {
        let full = Pressure { connections: 1.0, descriptors: 0.99, memory: 0.0 };
        let relief = relief(full, Mitigation::NONE);
        assert_eq!(relief, Mitigation { idle_tenths: 1, ..Mitigation::NONE });
    }

    proptest! {
        #[test]
        fn a_pressure_that_stays_or_trembles_changes_nothing_twice(
            pressures in prop::collection::vec(0.0_f64..1.2, 0..20),
            last in 0.0_f64..1.2,
            tremble in 0.0_f64..0.009,
        ) {
            let before = memory(&[&pressures[..], &[last, last + tremble]].concat());
            let again = memory(&[&pressures[..], &[last, last + tremble, last, last + tremble]].concat());
            prop_assert_eq!(before, again);
        }
    }
}
