//! Tower for raw TCP lines: what axum is to HTTP, for protocols of one line after another.
//!
//! Write a protocol as a `tower::Service` and get framing, limits, deadlines, heartbeat,
//! back-pressure, metrics and drain.
//!
//! - [`serve`]: a listener and a service, in your own runtime;
//! - [`Server`]: threads of its own, one shard a core, drained on signals;
//! - [`towline_middleware`]: transport and layers alone, over any byte stream;
//! - [`run`]: the configured server, which is what the `towline` binary is.
//!
//! The line stack that surrounds a service is in `stack.rs`, the file to read first.

mod accept;
mod accept_error;
mod activation;
mod admin;
mod builder;
mod control;
pub mod doctor;
mod ending;
mod error;
mod exporter;
mod front;
mod gate;
mod host;
mod lifecycle;
mod listen;
mod notify;
mod overload;
mod per_address;
mod plan;
mod processes;
mod rate;
mod refuse;
mod reload;
mod serve;
mod server;
mod shard;
mod shards;
mod shared;
mod signals;
mod slots;
mod socket;
mod spare;
mod stack;
mod threads;
mod to_shards;

use std::sync::Arc;

pub use builder::{Builder, Server};
pub use control::Control;
pub use error::RunError;
use host::Host;
pub use lifecycle::Outcome;
use plan::Plan;
pub use processes::{Worker, WorkerCommand};
pub use reload::Source;
pub use serve::{serve, serve_until};
pub use server::Running;
pub use shard::Peer;
pub use tower::{ServiceBuilder, service_fn};
use towline_config::Effective;
pub use towline_config::{Difference, Heartbeat, Settings, Timeouts};
pub use towline_middleware::{BoxError, EachLine, Line, Lines, drain};

/// The guide, whose snippets are tests.
#[doc = include_str!("../../docs/LIBRARY.md")]
#[cfg(doctest)]
pub mod guide {}

/// Serves the workload that is configured until a signal ends it; in several processes, started with
/// `worker`, if that is what the settings ask for. At SIGHUP the configuration is loaded again from
/// `source`, and taken over as far as a running server can.
///
/// Logs through `tracing`, and prints one line on standard output once connections are accepted:
/// `listening on ADDR (admin ADDR)`, with the real ports. A listening socket that a service manager
/// passes (`LISTEN_FDS`) stands in for `server.listen`, and one that waits to be told
/// (`NOTIFY_SOCKET`) is.
///
/// # Errors
/// When it cannot start (address in use, a limit the host does not allow) or the listener breaks.
pub fn run(
    effective: &Effective,
    source: impl Source,
    worker: WorkerCommand,
) -> Result<Outcome, RunError> {
    let source: Arc<dyn Source> = Arc::new(source);
    let settings = &effective.settings;
    let passed = activation::passed()?;
    let plan = Plan::of(settings, Host::here())?;
    let ready = |announcement: &str| {
        announce(announcement);
        notify::ready(announcement);
        let (connections, processes) = (plan.connections as u64, plan.processes as u64);
        doctor::warn_in_background(settings.clone(), connections, processes);
    };
    if plan.processes > 1 {
        return processes::run(effective, &source, &plan, passed, worker, ready);
    }
    let running = server::start(effective, &plan, passed, |parts| {
        let lines = stack::configured(parts);
        move |_peer| lines.clone()
    })?;
    running.log_start();
    running.run_until_signal(Some(&source), |running| ready(&running.announcement()))
}

/// The one line that scripts wait for. Nobody may be reading, which is no reason to stop.
fn announce(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
