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
    message::SettingsText,
    pool::WorkerPool,
    worker_process::{Command, StopIntent, WorkerCommand, WorkerExit, WorkerProcess},
};
use towline::RunError;

/// The pause before a process that was lost is followed by another: the first, and the longest.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// A process that lived as long is followed by another after the first pause.
const LIVED_LONG: Duration = Duration::from_secs(1);

/// What it takes to fill a place.
#[derive(Debug)]
pub(crate) struct WorkerSupervisor {
    pub(crate) index: usize,
    pub(crate) command: Arc<WorkerCommand>,
    pub(crate) pool: Arc<WorkerPool>,
    /// What the next process begins with.
    pub(crate) settings: Arc<Mutex<SettingsText>>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

impl WorkerSupervisor {
    /// Fills the place until it is stop_intent to drain or to cut, and returns how many connections were
    /// cut then. Tells once whether the first process serves; if it doesn't, that was all.
    pub(crate) async fn run(mut self, first: oneshot::Sender<Result<(), RunError>>) -> u64 {
        let mut process = match self.start().await {
            Ok(process) => {
                // Nobody waits any more only when another failed, and then all are stop_intent to end.
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
            let ended = process.run(self.index, &self.pool, &mut self.commands).await;
            let lost = self.pool.close(self.index);
            if ended.stop_intent == StopIntent::End {
                return ended.cut.unwrap_or(lost as u64);
            }
            if ended.stop_intent == StopIntent::Leave || since.elapsed() >= LIVED_LONG {
                pause = BACK_OFF[0];
            }
            self.log_exit(&ended, lost, pause);
            process = loop {
                if !self.wait(pause).await {
                    return 0;
                }
                pause = (2 * pause).min(BACK_OFF[1]);
                self.pool.restart(self.index);
                match self.start().await {
                    Ok(process) => break process,
                    Err(why) => tracing::error!("{why}; trying again in {pause:?}"),
                }
            };
            tracing::info!(process = self.index, pid = process.id(), "worker process started");
        }
    }

    async fn start(&self) -> Result<WorkerProcess, RunError> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let process = WorkerProcess::start(self.index, &self.command, settings).await?;
        self.pool.open(self.index, process.channel());
        Ok(process)
    }

    fn log_exit(&self, ended: &WorkerExit, lost: usize, pause: Duration) {
        let status = match &ended.status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let process = self.index;
        if ended.stop_intent == StopIntent::Leave {
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

    /// Pauses, and grants what commands can be granted without a process; false when that is to be all.
    async fn wait(&mut self, pause: Duration) -> bool {
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                command = self.commands.recv() => match command {
                    // Its ledger says all there is to say.
                    Some(Command::Count(_)) => {}
                    // The next process begins with them.
                    Some(Command::Reload(_, waiting)) => {
                        let _ = waiting.send(Ok(()));
                    }
                    Some(Command::Drain | Command::Last | Command::Cut) | None => return false,
                },
            }
        }
    }
}
