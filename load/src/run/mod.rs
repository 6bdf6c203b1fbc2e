//! Leads a run: starts the event loops, sets their phases, adds up their events, shows progress.

pub(crate) mod event;
mod loop_threads;
pub(crate) mod phase_control;
mod progress;
mod protocol;
pub(crate) mod totals;
mod worker;
mod worker_pool;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

pub use progress::Progress;
pub use worker::serve_as_worker;
pub use worker_pool::WorkerProgram;

use self::event::Event;
use self::progress::ProgressDisplay;
use self::totals::RunTotals;
use self::worker_pool::WorkerPool;
use crate::clock::{self, MILLI, SECOND};
use crate::error::LoadError;
use crate::host;
use crate::plan::{ClientBehavior, Plan};
use crate::report::Report;

/// Events that may be queued for the leader.
const EVENTS_MAX: usize = 1024;
/// How often the leader checks for an interrupt.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// What a run needs from the program around it.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// How to start worker processes. Default: none, so that one process must hold all connections.
    pub worker: Option<WorkerProgram>,
    /// Set to `true` to stop early: the run drains and still reports. Default: a flag that is never set.
    pub interrupt: Arc<AtomicBool>,
    /// What is shown while the run goes on. Default: nothing.
    pub progress: Progress,
}

/// Runs a plan and returns its report.
///
/// Blocks for the ramp, the duration and the drain. Raises this process's soft descriptor limit to the
/// hard one.
///
/// # Errors
/// When the plan cannot be run as written, or nothing could be started. Failed connections are not an
/// error: they are in the report.
pub fn run(plan: &Plan, options: &RunOptions) -> Result<Report, LoadError> {
    plan.check()?;
    host::raise_descriptor_limit();
    host::disable_huge_pages();
    let mut plan = plan.clone();
    plan.fanout.run = run_mark();
    plan.bound = plan.sources.addresses(&plan.targets, plan.connections)?;
    let interval = interval(plan.duration);
    let mut pool = WorkerPool::start(&plan, interval, options.worker.as_ref())?;
    let mut totals = RunTotals::new(pool.timing);
    let mut display = ProgressDisplay::new(options.progress, &plan, pool.timing);
    let interrupted = lead(&plan, &mut pool, &mut totals, options, &mut display);
    let (processes, loops) = (pool.processes, pool.loops);
    pool.join();
    totals.close();
    display.clear();
    if totals.counters() == Default::default() && !totals.failures.is_empty() {
        return Err(LoadError::failed(totals.failures.swap_remove(0)));
    }
    Ok(Report::new(&plan, &totals, processes, loops, interrupted))
}

/// Leads the event loops through the phases; returns whether the run was interrupted.
fn lead(
    plan: &Plan,
    pool: &mut WorkerPool,
    totals: &mut RunTotals,
    options: &RunOptions,
    display: &mut ProgressDisplay,
) -> bool {
    let (mut ramped, mut ended, mut interrupted) = (vec![false; pool.loops as usize], 0, false);
    let mut published = BTreeMap::new();
    let returning = plan.connections_as(ClientBehavior::WellBehaved) < plan.connections;
    while ended < pool.loops {
        match pool.events.recv_timeout(INTERRUPT_CHECK) {
            Ok(event) => {
                match &event {
                    Event::Interval(sample) => ramped[sample.loop_index as usize] |= sample.ramped,
                    Event::Finished(_) => ended += 1,
                    Event::Published(publisher, messages) => {
                        published.insert(*publisher, *messages);
                        if published.len() == plan.fanout.publishers as usize {
                            let messages: Vec<_> = published.values().copied().collect();
                            pool.published(&messages);
                        }
                    }
                    Event::Failed(_) => {
                        ended += 1;
                        stop(pool, totals);
                    }
                }
                totals.add(event);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = clock::now();
        if options.interrupt.load(Ordering::Relaxed) && !interrupted {
            interrupted = totals.stop_at > now;
            stop(pool, totals);
        }
        if totals.steady_at == u64::MAX && ramped.iter().all(|done| *done) {
            let stop_at = now + plan.duration.as_nanos() as u64;
            totals.steady_at = now;
            totals.stop_at = totals.stop_at.min(stop_at);
            pool.steady(now, stop_at);
        }
        if totals.steady_at <= now && totals.open() == 0 && !returning {
            stop(pool, totals);
        }
        display.update(totals, now);
    }
    totals.stop_at = totals.stop_at.min(clock::now());
    totals.steady_at = totals.steady_at.min(totals.stop_at);
    interrupted
}

/// A number that tells the messages of this run from those of others.
fn run_mark() -> u32 {
    let now = clock::now();
    (now ^ now >> 32) as u32 ^ std::process::id().rotate_left(16)
}

/// Ends the load now, unless it is over.
fn stop(pool: &mut WorkerPool, totals: &mut RunTotals) {
    let now = clock::now();
    if totals.stop_at > now {
        totals.stop_at = now;
        pool.stop(now);
    }
}

/// The reporting interval: a second, or a twentieth of a short run so that it has a timeline too.
fn interval(duration: Duration) -> u64 {
    let span = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    (span / 20).clamp(100 * MILLI, SECOND)
}
