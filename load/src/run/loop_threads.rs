//! The event loops of this process, each on a thread.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use super::event::Event;
use super::phase_control::PhaseControl;
use crate::error::LoadError;
use crate::event_loop::{EventLoop, Share, Timing};
use crate::job::Job;

/// Running event loops, and the control that sets their phases.
#[derive(Debug)]
pub(super) struct LoopThreads {
    pub(super) control: Arc<PhaseControl>,
    threads: Vec<JoinHandle<()>>,
}

impl LoopThreads {
    pub(super) fn start(
        job: &Arc<Job>,
        shares: &[Share],
        timing: Timing,
        outbox: &SyncSender<Event>,
    ) -> Result<Self, LoadError> {
        let control = Arc::new(PhaseControl::new()?);
        let mut threads = Vec::new();
        for share in shares {
            let (job, control) = (Arc::clone(job), Arc::clone(&control));
            let (share, outbox) = (*share, outbox.clone());
            let thread = thread::Builder::new().name(format!("loop-{}", share.index));
            let started = thread.spawn(move || {
                match EventLoop::new(job, control, share, timing, outbox.clone()) {
                    Ok(event_loop) => event_loop.run(),
                    // The receiver is gone only when the run was abandoned.
                    Err(error) => drop(outbox.send(Event::Failed(error.to_string()))),
                }
            });
            threads.push(started.map_err(|e| {
                LoadError::failed(format!(
                    "the thread of event loop {} cannot start: {e}",
                    share.index
                ))
            })?);
        }
        Ok(Self { control, threads })
    }

    /// Waits for every event loop to end.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A panic was printed on standard error, and the leader misses the thread's final event.
            let _ = thread.join();
        }
    }
}
