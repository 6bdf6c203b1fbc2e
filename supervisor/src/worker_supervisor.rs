//! A place among the workers: one process after another.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use crate::{
    message::WrittenSettings,
    pool::Crew,
    worker_process::{Ended, Process, Told, Wish, WorkerCommand},
};
use towline::RunError;

/// The pause before a process that was lost is followed by another: the first, and the longest.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// A process that lived as long is followed by another after the first pause.
const LIVED_LONG: Duration = Duration::from_secs(1);

/// What it takes to fill a place.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) index: usize,
    pub(crate) command: Arc<WorkerCommand>,
    pub(crate) crew: Arc<Crew>,
    /// What the next process begins with.
    pub(crate) settings: Arc<Mutex<WrittenSettings>>,
    pub(crate) wishes: mpsc::Receiver<Wish>,
}

impl Member {
    /// Fills the place until it is told to drain or to cut, and returns how many connections were
    /// cut then. Tells once whether the first process serves; if it doesn't, that was all.
    pub(crate) async fn run(mut self, first: oneshot::Sender<Result<(), RunError>>) -> u64 {
        let mut process = match self.start().await {
            Ok(process) => {
                // Nobody waits any more only when another failed, and then all are told to end.
                let _ = first.send(Ok(()));
                process
            }
            Err(why) => {
                let _ = first.send(Err(why));
                return 0;
            }
        };
        let mut pause = BACK_OFF[0];
        loop {
            let since = Instant::now();
            let ended = process.attend(self.index, &self.crew, &mut self.wishes).await;
            let lost = self.crew.close(self.index);
            if ended.told == Told::End {
                return ended.cut.unwrap_or(lost as u64);
            }
            if ended.told == Told::Leave || since.elapsed() >= LIVED_LONG {
                pause = BACK_OFF[0];
            }
            self.tell(&ended, lost, pause);
            process = loop {
                if !self.wait(pause).await {
                    return 0;
                }
                pause = (2 * pause).min(BACK_OFF[1]);
                self.crew.restart(self.index);
                match self.start().await {
                    Ok(process) => break process,
                    Err(why) => tracing::error!("{why}; trying again in {pause:?}"),
                }
            };
            tracing::info!(process = self.index, pid = process.id(), "worker process started");
        }
    }

    async fn start(&self) -> Result<Process, RunError> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let process = Process::start(self.index, &self.command, settings).await?;
        self.crew.open(self.index, process.channel());
        Ok(process)
    }

    fn tell(&self, ended: &Ended, lost: usize, pause: Duration) {
        let status = match &ended.status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let process = self.index;
        if ended.told == Told::Leave {
            tracing::info!(process, status, cut = ended.cut.unwrap_or(0), "worker process ended");
        } else {
            tracing::error!(
                process,
                status,
                connections = lost,
                "worker process lost, starting another in {pause:?}"
            );
        }
    }

    /// Pauses, and grants what wishes can be granted without a process; false when that is to be all.
    async fn wait(&mut self, pause: Duration) -> bool {
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                wish = self.wishes.recv() => match wish {
                    // Its ledger says all there is to say.
                    Some(Wish::Count(_)) => {}
                    // The next process begins with them.
                    Some(Wish::Reload(_, waiting)) => {
                        let _ = waiting.send(Ok(()));
                    }
                    Some(Wish::Drain | Wish::Last | Wish::Cut) | None => return false,
                },
            }
        }
    }
}
