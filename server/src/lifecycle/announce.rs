//! What a server says once it accepts connections: a line in the log, and one on standard output.

use std::net::SocketAddr;

use towline_config::Settings;

use crate::{
    accept::{Address, shown},
    plan::ProcessPlan,
};

/// Logs that a server accepts connections. `workload` has the settings of a built-in one; the
/// service of a library's user says nothing of itself.
pub fn log_start(
    plan: &ProcessPlan,
    addresses: &[Address],
    admin: Option<SocketAddr>,
    workload: Option<&Settings>,
) {
    tracing::info!(
        address = shown(addresses),
        admin = admin.map(tracing::field::display),
        processes = plan.processes,
        threads = plan.threads,
        connections_limit = plan.connections,
        workload = workload.map(|settings| tracing::field::display(settings.workload.kind)),
        framing = workload.map(|settings| tracing::field::display(settings.workload.framing)),
        flush = workload.map(|settings| tracing::field::display(settings.flush.policy)),
        "serving"
    );
}

/// The line for standard output.
pub fn announcement(addresses: &[Address], admin: Option<SocketAddr>) -> String {
    let addresses = shown(addresses);
    match admin {
        Some(admin) => format!("listening on {addresses} (admin {admin})"),
        None => format!("listening on {addresses} (admin off)"),
    }
}
