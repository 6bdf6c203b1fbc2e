//! Lanes as threads of this process.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use super::event::Event;
use super::phase_control::Control;
use crate::error::LoadError;
use crate::event_loop::{Lane, Share, Timing};
use crate::job::Job;

/// Running lanes and the control they obey.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    pub(super) fn start(
        job: &Arc<Job>,
        shares: &[Share],
        timing: Timing,
        outbox: &SyncSender<Event>,
    ) -> Result<Self, LoadError> {
        let control = Arc::new(Control::new()?);
        let mut threads = Vec::new();
        for share in shares {
            let (job, control) = (Arc::clone(job), Arc::clone(&control));
            let (share, outbox) = (*share, outbox.clone());
            let thread = thread::Builder::new().name(format!("lane-{}", share.index));
            let started = thread.spawn(move || {
                match Lane::new(job, control, share, timing, outbox.clone()) {
                    Ok(lane) => lane.run(),
                    // Nobody listens any more only when the run was given up.
                    Err(error) => drop(outbox.send(Event::Failed(error.to_string()))),
                }
            });
            threads.push(started.map_err(|e| {
                LoadError::failed(format!("the thread of lane {} cannot start: {e}", share.index))
            })?);
        }
        Ok(Self { control, threads })
    }

    /// Waits for every lane to end.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A lane that panicked has said so on standard error, and is missed by the leader.
            let _ = thread.join();
        }
    }
}
