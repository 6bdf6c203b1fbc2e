//! One measurement of one server.

use std::time::Duration;

use rustls::HandshakeKind;

use super::{
    client::{Connector, Window, on_load_core, window},
    handshakes, idle,
    keys::Keys,
    lines,
};
use crate::{
    implementation::{Implementation, Measurement},
    kernel::{KernelCounters, core_wait},
    launcher::Launcher,
    ratio::{Plan, Turn},
    scenario::Scenario,
};

/// Measures a new server under the scenario's load; returns the kernel counters that grew, too.
pub(super) fn take_turn(
    launcher: &Launcher,
    keys: &Keys,
    scenario: &Scenario,
    plan: Plan,
    subject: Implementation,
) -> Turn {
    let flags = keys.flags();
    let server = launcher.start(subject, &flags.each_ref().map(String::as_str), scenario.cores)?;
    let load = scenario.load;
    let resumes = load.mode == "resumed" && subject != Implementation::FullHandshakes;
    let connector = Connector::new(keys.authority(), server.addr, !resumes)?;
    if scenario.is_idle() {
        return Ok((idle::hold(connector, &server, load.conns)?, Vec::new()));
    }
    let pids = server.processes();
    let both = [pids.clone(), vec![std::process::id()]];
    let waited =
        || both.each_ref().map(|side| side.iter().copied().map(core_wait).sum::<Duration>());
    let (counters, before, began) = (KernelCounters::read(), waited(), crate::clock::now());
    let counted = on_load_core(async move |tally| {
        match load.mode {
            "handshakes" | "resumed" => {
                let kind = if resumes { HandshakeKind::Resumed } else { HandshakeKind::Full };
                let connector = connector.without_verification();
                handshakes::start(load.conns, &connector, kind, &tally);
            }
            mode => lines::start(mode, lines::open(&connector, load.conns).await?, &tally)?,
        }
        window(&tally, &pids, plan.timing.warm, plan.timing.run).await
    })?;
    let moved = KernelCounters::read().moved_since(&counters);
    let whole = crate::clock::now().saturating_sub(began);
    let waits = waited().into_iter().zip(before).map(|(now, then)| now.saturating_sub(then));
    let queued = waits.max().unwrap_or_default();
    let queued_share = queued.as_secs_f64() / whole.as_secs_f64();
    Ok((Measurement { queued_share, ..counted.into() }, moved))
}

impl From<Window> for Measurement {
    fn from(window: Window) -> Self {
        Self {
            lines: window.lines,
            seconds: window.seconds,
            cpu_seconds: window.server_cpu.as_secs_f64(),
            generator_cpu_seconds: window.own_cpu.as_secs_f64(),
            p50_us: window.p50_us,
            p99_us: window.p99_us,
            ..Self::default()
        }
    }
}
