//! Leading a run: start the lanes, tell them the phases, add up what they tell, show progress.

pub(crate) mod event;
mod loop_threads;
pub(crate) mod phase_control;
mod progress;
mod protocol;
pub(crate) mod totals;
mod worker;
mod worker_pool;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

pub use progress::Progress;
pub use worker::serve_as_worker;
pub use worker_pool::WorkerProgram;

use self::event::Event;
use self::progress::Show;
use self::totals::Outcome;
use self::worker_pool::Crew;
use crate::clock::{self, MILLI, SECOND};
use crate::error::LoadError;
use crate::host;
use crate::plan::{ClientBehavior, Plan};
use crate::report::Report;

/// Events that may wait for the leader.
const EVENTS: usize = 1024;
/// How often the leader looks for an interrupt.
const LOOK: Duration = Duration::from_millis(50);

/// What a run needs from its surroundings.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// How to start worker processes; without it, one process must do.
    pub worker: Option<WorkerProgram>,
    /// Set to stop early: the run drains and still reports.
    pub interrupt: Arc<AtomicBool>,
    /// Whom to show what while it runs.
    pub progress: Progress,
}

/// Runs a plan to its end and reports.
///
/// Blocks for the ramp, the duration and the drain. Raises this process's soft descriptor limit to the
/// hard one.
///
/// # Errors
/// When the plan cannot be run as written, or nothing could be started. Connections that fail are no
/// error here: they are in the report.
pub fn run(plan: &Plan, options: &RunOptions) -> Result<Report, LoadError> {
    plan.check()?;
    host::raise_descriptor_limit();
    host::refuse_huge_pages();
    let mut plan = plan.clone();
    plan.bound = plan.sources.addresses(&plan.targets, plan.connections)?;
    let interval = interval(plan.duration);
    let mut crew = Crew::start(&plan, interval, options.worker.as_ref())?;
    let mut outcome = Outcome::new(crew.timing);
    let mut show = Show::new(options.progress, &plan, crew.timing);
    let interrupted = lead(&plan, &mut crew, &mut outcome, options, &mut show);
    let (processes, lanes) = (crew.processes, crew.lanes);
    crew.dismiss();
    outcome.close();
    show.end();
    if outcome.total() == Default::default() && !outcome.failures.is_empty() {
        return Err(LoadError::failed(outcome.failures.swap_remove(0)));
    }
    Ok(Report::new(&plan, &outcome, processes, lanes, interrupted))
}

/// Leads the lanes through the phases; returns whether the run was interrupted.
fn lead(
    plan: &Plan,
    crew: &mut Crew,
    outcome: &mut Outcome,
    options: &RunOptions,
    show: &mut Show,
) -> bool {
    let (mut ramped, mut ended, mut interrupted) = (vec![false; crew.lanes as usize], 0, false);
    let returning = plan.connections_as(ClientBehavior::WellBehaved) < plan.connections;
    while ended < crew.lanes {
        match crew.events.recv_timeout(LOOK) {
            Ok(event) => {
                match &event {
                    Event::Tick(tick) => ramped[tick.lane as usize] |= tick.ramped,
                    Event::Finished(_) => ended += 1,
                    Event::Failed(_) => {
                        ended += 1;
                        stop(crew, outcome);
                    }
                }
                outcome.take(event);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = clock::now();
        if options.interrupt.load(Ordering::Relaxed) && !interrupted {
            interrupted = outcome.stop_at > now;
            stop(crew, outcome);
        }
        if outcome.steady_at == u64::MAX && ramped.iter().all(|done| *done) {
            let stop_at = now + plan.duration.as_nanos() as u64;
            outcome.steady_at = now;
            outcome.stop_at = outcome.stop_at.min(stop_at);
            crew.steady(now, stop_at);
        }
        if outcome.steady_at <= now && outcome.open() == 0 && !returning {
            stop(crew, outcome);
        }
        show.update(outcome, now);
    }
    outcome.stop_at = outcome.stop_at.min(clock::now());
    outcome.steady_at = outcome.steady_at.min(outcome.stop_at);
    interrupted
}

/// Ends the load now, unless it has ended already.
fn stop(crew: &mut Crew, outcome: &mut Outcome) {
    let now = clock::now();
    if outcome.stop_at > now {
        outcome.stop_at = now;
        crew.stop(now);
    }
}

/// A second; less for short runs, so that they too have a course to look at.
fn interval(duration: Duration) -> u64 {
    let span = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    (span / 20).clamp(100 * MILLI, SECOND)
}
