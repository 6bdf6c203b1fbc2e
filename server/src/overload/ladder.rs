//! Which mitigation a pressure calls for: pure arithmetic, no clock and no I/O.

use crate::live_config::{Mitigation, TENTHS};

/// Use of each resource divided by its limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Pressure {
    pub connections: f64,
    pub descriptors: f64,
    /// Memory for the buffers of connections.
    pub memory: f64,
    /// The part of `memory` that closing connections whose clients hold buffers cannot free: batches in
    /// service.
    pub in_service: f64,
}

/// Pressures at which timeouts begin to shrink, and at which a tenth of them is left.
const SHRINK: [f64; 2] = [0.85, 0.95];

/// Pressure of batches in service at which new batches are answered `ERR overloaded`.
const SHED: f64 = 0.92;

/// Pressure of batches in service at which no connections are accepted.
const REFUSE: f64 = 0.95;

/// A step is left this far below the pressure at which it is taken, so that it does not flap.
const HYSTERESIS: f64 = 0.03;

/// The mitigation for a pressure, given the mitigation in force.
///
/// Pressure of connections and descriptors shortens `timeouts.idle` alone: shedding lines frees
/// neither, and refusing connections below a limit would lower that limit. Pressure of memory shortens
/// the timeouts of the connections that hold buffers; idle connections hold none. Lines are shed and
/// connections refused only for memory that batches in service take: what clients hold is taken from
/// them, by closing those that hold the most, and never from clients that hold nothing.
pub(super) fn mitigation(pressure: Pressure, before: Mitigation) -> Mitigation {
    let counts = pressure.connections.max(pressure.descriptors);
    let step =
        |taken: bool, at: f64| pressure.in_service >= if taken { at - HYSTERESIS } else { at };
    Mitigation {
        idle_tenths: tenths(counts, before.idle_tenths),
        held_tenths: tenths(pressure.memory, before.held_tenths),
        sheds: step(before.sheds, SHED),
        refuses: step(before.refuses, REFUSE),
    }
}

/// Tenths of a timeout that are left. Coarse, because each change wakes every connection.
fn tenths(pressure: f64, before: u32) -> u32 {
    let left = |pressure: f64| {
        let above = ((pressure - SHRINK[0]) / (SHRINK[1] - SHRINK[0])).clamp(0.0, 1.0);
        TENTHS - (above * f64::from(TENTHS - 1)).round() as u32
    };
    // Down at once; up only as far as a pressure higher by the hysteresis would allow.
    left(pressure).min(before).max(left(pressure + HYSTERESIS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Memory that is all in service.
    fn memory(pressures: &[f64]) -> Mitigation {
        pressures.iter().fold(Mitigation::NONE, |before, &memory| {
            mitigation(Pressure { memory, in_service: memory, ..Pressure::default() }, before)
        })
    }

    #[test]
    fn fault_17_each_step_is_taken_at_its_pressure_and_left_below_it() {
        assert_eq!(memory(&[0.84]), Mitigation::NONE);
        assert_eq!(memory(&[0.90]), Mitigation { held_tenths: 5, ..Mitigation::NONE });
        assert_eq!(memory(&[0.92]).steps(), [true, true, false]);
        assert_eq!(memory(&[0.95]).steps(), [true, true, true]);
        assert_eq!(memory(&[0.95]).held_tenths, 1);
        assert_eq!(memory(&[7.0]).held_tenths, 1);
        // Pressure falls: each step is left a little below the pressure at which it was taken.
        assert_eq!(memory(&[0.96, 0.93]).steps(), [true, true, true]);
        assert_eq!(memory(&[0.96, 0.91]).steps(), [true, true, false]);
        assert_eq!(memory(&[0.96, 0.88]).steps(), [true, false, false]);
        assert_eq!(memory(&[0.96, 0.81]), Mitigation::NONE);
    }

    #[test]
    fn a_server_that_is_only_full_sheds_no_line_and_refuses_no_connection() {
        let full = Pressure { connections: 1.0, descriptors: 0.99, ..Pressure::default() };
        let mitigation = mitigation(full, Mitigation::NONE);
        assert_eq!(mitigation, Mitigation { idle_tenths: 1, ..Mitigation::NONE });
    }

    proptest! {
        /// Memory that clients held was answered with `ERR overloaded` to those that held nothing: 260
        /// unfinished lines had 96 % of the lines of all other clients shed.
        #[test]
        fn fault_17_what_clients_hold_sheds_no_line_refuses_no_connection_and_ends_no_idle_one(
            held in prop::collection::vec(0.0_f64..9.0, 1..20),
            in_service in 0.0_f64..0.88,
        ) {
            let mut before = Mitigation::NONE;
            for held in held {
                let pressure =
                    Pressure { memory: held + in_service, in_service, ..Pressure::default() };
                before = mitigation(pressure, before);
                prop_assert!(!before.sheds && !before.refuses);
                prop_assert_eq!(before.idle_tenths, Mitigation::NONE.idle_tenths);
            }
        }

        #[test]
        fn more_pressure_never_means_less_mitigation(
            [one, other] in prop::array::uniform2(0.0_f64..1.2),
            before in prop::collection::vec(0.0_f64..1.2, 0..5),
        ) {
            let before = memory(&before);
            let [less, more] = [one.min(other), one.max(other)].map(|memory| {
                mitigation(Pressure { memory, in_service: memory, ..Pressure::default() }, before)
            });
            prop_assert!(more.held_tenths <= less.held_tenths);
            prop_assert!(more.sheds >= less.sheds && more.refuses >= less.refuses);
        }

        #[test]
        fn a_pressure_that_is_constant_or_jitters_changes_nothing_twice(
            pressures in prop::collection::vec(0.0_f64..1.2, 0..20),
            last in 0.0_f64..1.2,
            jitter in 0.0_f64..0.009,
        ) {
            let before = memory(&[&pressures[..], &[last, last + jitter]].concat());
            let again = memory(&[&pressures[..], &[last, last + jitter, last, last + jitter]].concat());
            prop_assert_eq!(before, again);
        }
    }
}
