//! Runs of the generator against a server whose replies the test decides.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use std::time::Duration;

use towline_load::{Mode, Plan, Report, RunOptions};
use towline_test_support::LineServer;

/// A plan for `server`: few connections, a short time, everything verified.
pub(crate) fn plan_for(server: &LineServer, mode: Mode) -> Plan {
    let mut plan = Plan::new(server.address.into());
    plan.mode = mode;
    plan.connections = 4;
    plan.duration = Duration::from_millis(300);
    plan.message = "{conn}:{seq}\\n".to_owned();
    plan.verify = true;
    plan
}

pub(crate) fn run(plan: &Plan) -> Report {
    towline_load::run(plan, &RunOptions::default()).unwrap()
}
