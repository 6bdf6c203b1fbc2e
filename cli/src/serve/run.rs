//! The configured server: in this process, or in several.

use std::{io::Write as _, sync::Arc};

use towline::{
    Outcome, RunError,
    internal::{
        Listener, Parts, ProcessPlan, activation, notify, reload::ConfigSource, stack, start,
    },
};
use towline_config::Effective;
use towline_host::{HostLimits, raise_descriptor_limit};
use towline_supervisor::WorkerCommand;

use super::host_check;

/// Serves the configured workload until a signal ends it; in several processes, started with
/// `worker`, if the settings ask for more than one. At SIGHUP the configuration is loaded again from
/// `source`, and applied as far as a running server can.
///
/// Logs through `tracing`, and prints one line on standard output once connections are accepted:
/// `listening on ADDR (admin ADDR)`, with the real ports. A listening socket that a service manager
/// passes (`LISTEN_FDS`) replaces `server.listen`, and a service manager that asks for it
/// (`NOTIFY_SOCKET`) is notified.
///
/// # Errors
/// When it cannot start (address in use, a limit the host does not allow) or the listener breaks.
pub(super) fn run(
    effective: &Effective,
    source: impl ConfigSource,
    worker: WorkerCommand,
) -> Result<Outcome, RunError> {
    let source: Arc<dyn ConfigSource> = Arc::new(source);
    let settings = &effective.settings;
    let passed = activation::passed()?;
    raise_descriptor_limit();
    let plan = ProcessPlan::of(settings, HostLimits::read())?;
    let ready = |announcement: &str| {
        announce(announcement);
        notify::ready(announcement);
        let (connections, processes) = (plan.connections as u64, plan.processes as u64);
        host_check::warn_in_background(settings.clone(), connections, processes);
    };
    if plan.processes > 1 {
        return towline_supervisor::run(effective, &source, &plan, passed, worker, ready);
    }
    let listeners = Listener::open(settings, passed, 1)?;
    let running = start(effective, &plan, Parts { listeners, user_metrics: None }, |parts| {
        let lines = stack::configured(parts);
        move |_peer| lines.clone()
    })?;
    running.log_start(Some(settings));
    running.run_until_signal(Some(&source), |running| ready(&running.announcement()))
}

/// Prints the one line that scripts wait for. A closed standard output is no reason to stop.
fn announce(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
