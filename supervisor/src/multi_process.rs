//! A server of several processes as one: what is told of it, and what is told to it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use towline_config::{Effective, PendingRestart, Processes, Settings};

use crate::{message::SettingsText, pool::WorkerPool, worker_process::Command};
use towline::{
    RunError,
    internal::{
        ConfigChange, Plan, ProcessUsage, ServerState, Snapshot, admin, reload::Reloadable,
    },
};
use towline_host::buffer_limit;

/// How long a scrape waits for the workers' numbers. Of one that is slower, stopped say, those stand
/// that it told last.
const COUNT_MAX: Duration = Duration::from_millis(500);

/// How long a reload waits for the workers to take it over. One that is slower still does.
const RELOAD_MAX: Duration = Duration::from_secs(5);

/// The server as a whole.
#[derive(Debug)]
pub(crate) struct MultiProcess {
    pub(crate) state: ServerState,
    pub(crate) pool: Arc<WorkerPool>,
    pub(crate) commands: Box<[mpsc::Sender<Command>]>,
    /// What the next process begins with.
    pub(crate) settings: Arc<Mutex<SettingsText>>,
    /// Of the supervisor itself.
    pub(crate) process: ProcessUsage,
}

impl MultiProcess {
    /// Wishes something of every worker that can take a command, and waits for the answers, but not
    /// longer than `most`. Of one that dies meanwhile there is none.
    async fn ask<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
        most: Duration,
    ) -> Vec<T> {
        let ask = |worker: &mpsc::Sender<Command>| {
            let (answer, wait) = oneshot::channel();
            worker.try_send(command(answer)).ok().map(|()| wait)
        };
        let asked: Vec<_> = self.commands.iter().filter_map(ask).collect();
        let mut answers = Vec::with_capacity(asked.len());
        let all = async {
            for worker in asked {
                answers.extend(worker.await.ok());
            }
        };
        let _ = timeout(most, all).await;
        answers
    }
}

impl admin::StatusSource for MultiProcess {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn snapshot(&self) -> Snapshot {
        self.ask(Command::Count, COUNT_MAX).await;
        let mut total = self.pool.total();
        self.state.add_to(&mut total);
        self.process.add_to(&mut total);
        total
    }
}

impl Reloadable for MultiProcess {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn load(&self, wanted: &Effective) -> Result<Vec<PendingRestart>, RunError> {
        let ServerState { plan, reloads, slots, config, .. } = &self.state;
        let change = self.state.change(wanted).inspect_err(|_| reloads.count(false))?;
        let ConfigChange { effective, connections, kept } = change;
        let written = SettingsText::of(&worker_settings(&effective.settings, plan));
        // A process that is started from now on needs no telling.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&written);
        slots.set_limit(connections);
        config.send_modify(|config| config.apply(effective));
        let answers = self.ask(|answer| Command::Reload(written.clone(), answer), RELOAD_MAX).await;
        for why in answers.into_iter().filter_map(Result::err) {
            tracing::error!("a worker process does not take the new settings over: {why}");
        }
        reloads.count(true);
        Ok(kept)
    }
}

/// The settings of one worker: what concerns the whole is the supervisor's.
pub(crate) fn worker_settings(settings: &Settings, plan: &Plan) -> Settings {
    // Neither is 0, and both are small.
    let number = |count: usize| std::num::NonZeroU32::new(count as u32);
    let mut settings = settings.clone();
    settings.server.admin = None;
    settings.server.processes = Processes::Exactly(std::num::NonZeroU32::MIN);
    settings.server.threads = number(plan.threads);
    settings.limits.connections = number(plan.per_process);
    settings.limits.connections_per_ip = None;
    settings.limits.accept_rate = None;
    let buffers = buffer_limit(settings.limits.buffer_bytes) / plan.processes as u64;
    settings.limits.buffer_bytes = Some((buffers as usize).max(1));
    settings
}
