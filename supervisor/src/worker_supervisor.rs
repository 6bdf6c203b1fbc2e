//! Keeps a process running in one worker slot.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use towline::RunError;

use crate::{
    command::{Command, StopIntent, WorkerExit},
    dispatch::WorkerDispatch,
    message::SettingsText,
    worker_process::{WorkerCommand, WorkerProcess},
};

/// First and longest pause before the restart of a process that was lost.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// After a process that ran for this long the pause starts again with the first.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// Starts, watches and restarts the process of one worker slot.
#[derive(Debug)]
pub(crate) struct WorkerSupervisor {
    pub(crate) index: usize,
    pub(crate) command: Arc<WorkerCommand>,
    pub(crate) dispatch: WorkerDispatch,
    /// The settings that the next started process gets.
    pub(crate) settings: Arc<Mutex<SettingsText>>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

impl WorkerSupervisor {
    /// Runs until it is commanded to drain or cut, or the command queue closes. Returns how many
    /// connections were cut then. Reports to `first` whether the first process serves; if it does not,
    /// this returns.
    pub(crate) async fn run(mut self, first: oneshot::Sender<Result<(), RunError>>) -> u64 {
        let mut process = match self.start().await {
            Ok(process) => {
                // Not received only if another worker failed, and then all are cut.
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
            let started = Instant::now();
            let exit = process.run(self.index, &self.dispatch, &mut self.commands).await;
            let lost = self.dispatch.pool.process_ended(self.index);
            if exit.stop_intent == StopIntent::Stop {
                return exit.cut.unwrap_or(lost as u64);
            }
            if exit.stop_intent == StopIntent::Replace || started.elapsed() >= STABLE_AFTER {
                pause = BACK_OFF[0];
            }
            self.log_exit(&exit, lost, pause);
            process = loop {
                if !self.wait(pause).await {
                    return 0;
                }
                pause = (2 * pause).min(BACK_OFF[1]);
                self.dispatch.pool.count_restart(self.index);
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
        let place = self.dispatch.pool.place(self.index);
        let process = WorkerProcess::start(place, &self.command, settings).await?;
        self.dispatch.pool.process_started(self.index, process.channel());
        Ok(process)
    }

    fn log_exit(&self, exit: &WorkerExit, lost: usize, pause: Duration) {
        let status = match &exit.status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let process = self.index;
        if exit.stop_intent == StopIntent::Replace {
            tracing::info!(process, status, cut = exit.cut.unwrap_or(0), "worker process ended");
        } else {
            tracing::error!(
                process,
                status,
                connections = lost,
                "worker process lost, starting another in {pause:?}"
            );
        }
    }

    /// Pauses before a restart, and answers commands meanwhile. Returns false if no restart may follow.
    async fn wait(&mut self, pause: Duration) -> bool {
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return true,
                command = self.commands.recv() => match command {
                    // The totals of ended processes are complete. Dropping the sender answers.
                    Some(
                        Command::SendCounts(_)
                        | Command::SendRows(..)
                        | Command::SendClosed(..)
                        | Command::Close(..),
                    ) => {}
                    // The next process starts with the new settings.
                    Some(Command::Reload(_, answer)) => {
                        let _ = answer.send(Ok(()));
                    }
                    Some(Command::Drain | Command::NoMoreConnections | Command::Cut) | None => {
                        return false;
                    }
                },
            }
        }
    }
}
