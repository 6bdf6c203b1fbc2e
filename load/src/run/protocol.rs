//! What the leader tells a worker process, as lines of JSON on its standard input.

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::event_loop::{Share, Timing};
use crate::plan::Plan;

/// The leader's word to a worker process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Get ready to run these lanes.
    Prepare(Box<Plan>, Vec<Share>),
    /// Begin; all processes of the host read the same clock.
    Start(Timing),
    /// The ramp is over at the first moment, the load at the second.
    Steady(u64, u64),
    /// The load ends at this moment.
    Stop(u64),
}

/// A worker's word to the leader, as lines of JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// The lanes can start.
    Ready,
    /// What a lane tells.
    Event(Event),
    /// The worker could not go on.
    Failed(String),
}
