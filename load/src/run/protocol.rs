//! The protocol between the leader and its worker processes: lines of JSON on their standard input
//! and output.

use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::event_loop::{Share, Timing};
use crate::plan::Plan;

/// A message of the leader, on the worker's standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LeaderMsg {
    /// Prepare to run these event loops.
    Prepare(Box<Plan>, Vec<Share>),
    /// Start. All processes of a host read the same clock.
    Start(Timing),
    /// The ramp ends at the first time, the load at the second.
    Steady(u64, u64),
    /// The load ends at this time.
    Stop(u64),
    /// How many messages each publisher of a fan-out has sent; `None` where that is unknown.
    Published(Vec<Option<u64>>),
}

/// A message of a worker, on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WorkerMsg {
    /// The event loops can start.
    Ready,
    /// An event from an event loop.
    Event(Event),
    /// The worker failed.
    Failed(String),
}
