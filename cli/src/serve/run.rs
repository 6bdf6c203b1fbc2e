//! Runs the configured server, in this process or in several.

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

/// Serves the configured workload until a signal; in several processes, started with `worker`, if the
/// settings ask for more than one. SIGHUP loads the settings again from `source` and applies those that
/// can change in a running server.
///
/// Logs through `tracing`, and prints one line on standard output once connections are accepted:
/// `listening on ADDR (admin ADDR)`, with the real ports. A listening socket from a service manager
/// (`LISTEN_FDS`) replaces `server.listen`; a service manager with `NOTIFY_SOCKET` is notified.
///
/// # Errors
/// When the server cannot start (address in use, a limit that the host does not allow) or the listening
/// socket fails.
pub(super) fn run(
    effective: &Effective,
    source: impl ConfigSource,
    worker: WorkerCommand,
) -> Result<Outcome, RunError> {
    let source: Arc<dyn ConfigSource> = Arc::new(source);
    let settings = &effective.settings;
    let passed = activation::passed_listeners()?;
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
    let running = start(effective, &plan, Parts::new(listeners), |parts| {
        let line_stack = stack::configured(parts);
        move |_peer| line_stack.clone()
    })?;
    running.log_start(Some(settings));
    running.run_until_signal(Some(&source), |running| ready(&running.announcement()))
}

/// Prints the line that scripts wait for. A closed standard output does not stop the server.
fn announce(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
