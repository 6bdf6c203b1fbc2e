//! A server of several processes as one: its counts, and reloads of its settings.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use towline::{
    RunError,
    internal::{
        ClosedJson, ConfigChange, ProcessPlan, ProcessUsage, PublicId, Rows, ServerState, Snapshot,
        Wanted, WantedRows, admin,
        commands::{Closed, Closing, Controllable},
        reload::Reloadable,
        yielding,
    },
};
use towline_config::{PendingRestart, Processes, Settings};
use towline_host::buffer_limit;

use crate::{
    command::Command,
    material,
    message::{IDS_MAX, Id, SettingsText},
    pool::WorkerPool,
};

/// How long a scrape waits for the workers' counts. For a slower worker, a stopped one for instance, its
/// last report is shown.
const COUNTS_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long a list of connections waits for the workers' answers.
const LIST_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long closing connections waits for the answer of a worker.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long a reload waits for the workers' answers. A slower worker applies the settings later.
const RELOAD_WAIT_MAX: Duration = Duration::from_secs(5);

/// The server as a whole.
#[derive(Debug)]
pub(crate) struct MultiProcess {
    pub(crate) state: ServerState,
    pub(crate) pool: Arc<WorkerPool>,
    /// The way to the task that supervises each worker.
    pub(crate) commands: Box<[mpsc::Sender<Command>]>,
    /// The settings that the next started process gets.
    pub(crate) settings: Arc<Mutex<SettingsText>>,
    /// Resources of the supervisor process itself.
    pub(crate) usage: ProcessUsage,
}

impl MultiProcess {
    /// Sends a command to every worker whose command queue has room, and waits at most `wait_max` for
    /// the answers. A worker that dies meanwhile gives none.
    async fn ask_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
        wait_max: Duration,
    ) -> Vec<T> {
        Self::answers(self.send_all(command), wait_max).await
    }

    /// Sends a command to every worker whose command queue has room.
    fn send_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Vec<oneshot::Receiver<T>> {
        let ask = |worker: &mpsc::Sender<Command>| {
            let (sender, answer) = oneshot::channel();
            worker.try_send(command(sender)).ok().map(|()| answer)
        };
        self.commands.iter().filter_map(ask).collect()
    }

    /// Waits at most `wait_max` for the answers of workers that were `asked`. A worker that does not answer
    /// costs no other its answer.
    async fn answers<T>(asked: Vec<oneshot::Receiver<T>>, wait_max: Duration) -> Vec<T> {
        let until = Instant::now() + wait_max;
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            // What has come by then is taken, also behind one that has not.
            answers.extend(timeout_at(until, answer).await.ok().and_then(Result::ok));
        }
        answers
    }
}

impl Controllable for MultiProcess {
    async fn rows(&self, wanted: WantedRows) -> Rows {
        let send = |answer| Command::SendRows(wanted.clone(), answer);
        let answers = self.ask_all(send, LIST_WAIT_MAX).await;
        let partial = answers.len() < self.commands.len();
        let mut all = Rows { partial, ..Rows::default() };
        for part in answers.iter().flatten() {
            all.rows.extend(yielding(part.rows()));
            if let Some((open, matched)) = part.last {
                all.open += open as usize;
                all.matched += matched as usize;
            }
        }
        all
    }

    async fn close(&self, ids: &[PublicId], how: Closing) -> Closed {
        let mut closed = Closed::default();
        let mut by_process: Vec<Vec<Id>> = vec![Vec::new(); self.commands.len()];
        for id in ids {
            match by_process.get_mut(id.worker / self.state.plan.threads.max(1)) {
                Some(process) => process.push((id.worker, id.serial)),
                None => closed.missing.push(*id),
            }
        }
        // One that does not answer delays no other.
        let mut processes = JoinSet::new();
        for (ids, worker) in by_process.into_iter().zip(&self.commands) {
            processes.spawn(close_in(worker.clone(), ids, how));
        }
        while let Some(process) = processes.join_next().await {
            if let Ok(process) = process {
                closed.missing.extend(process.missing);
                closed.partial |= process.partial;
            }
        }
        closed
    }
}

/// Asks connections of one process to close, some at a time.
async fn close_in(worker: mpsc::Sender<Command>, ids: Vec<Id>, how: Closing) -> Closed {
    let mut closed = Closed::default();
    let public = |(worker, serial)| PublicId { worker, serial };
    for part in ids.chunks(IDS_MAX) {
        let (sender, answer) = oneshot::channel();
        let ask = async {
            worker.send(Command::Close(part.to_vec(), how, sender)).await.ok()?;
            answer.await.ok()
        };
        // A process that did not answer once is not waited for again.
        let answer =
            if closed.partial { None } else { timeout(CLOSE_WAIT_MAX, ask).await.ok().flatten() };
        if let Some(missing) = answer {
            closed.missing.extend(missing.into_iter().map(public));
        } else {
            closed.missing.extend(part.iter().copied().map(public));
            closed.partial = true;
        }
    }
    closed
}

impl admin::StatusSource for MultiProcess {
    fn is_served(&self) -> bool {
        *self.pool.serving().borrow() > 0
    }

    async fn closed(&self, max: usize) -> Vec<ClosedJson> {
        let send = |answer| Command::SendClosed(max, answer);
        let answers = self.ask_all(send, LIST_WAIT_MAX).await;
        let mut closed: Vec<_> = answers.into_iter().flatten().collect();
        closed.sort_by(|one, other| one.closed_seconds_ago.total_cmp(&other.closed_seconds_ago));
        closed.truncate(max);
        closed
    }

    async fn snapshot(&self) -> Snapshot {
        self.ask_all(Command::SendCounts, COUNTS_WAIT_MAX).await;
        let mut total = self.pool.total();
        self.state.add_to(&mut total);
        self.usage.add_to(&mut total);
        total
    }
}

impl Reloadable for MultiProcess {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn apply(&self, wanted: &Wanted<'_>) -> Result<Vec<PendingRestart>, RunError> {
        let (asked, pending) = self.begin(wanted)?;
        for why in Self::answers(asked, RELOAD_WAIT_MAX).await.into_iter().filter_map(Result::err) {
            tracing::error!("a worker process did not apply the new settings: {why}");
        }
        Ok(pending)
    }
}

/// Whether a worker applied its settings, and if not, why.
type Applied = Result<(), String>;

impl MultiProcess {
    /// Applies settings here and sends them to the workers, under a lock: signals and commands change them on
    /// different threads, and each worker gets them in the same order. Returns the workers' answers to come.
    fn begin(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<(Vec<oneshot::Receiver<Applied>>, Vec<PendingRestart>), RunError> {
        let ServerState { plan, reloads, slots, config, .. } = &self.state;
        let _lock = reloads.lock();
        let change =
            self.state.plan_change(wanted).inspect_err(|_| reloads.count(wanted, false))?;
        let shared = change.tls.as_ref().map(|tls| material::share(&tls.material)).transpose();
        let material = shared.map_err(|error| {
            reloads.count(wanted, false);
            RunError::failed("certificates cannot be sent", &error)
        })?;
        self.state.record(&change);
        let ConfigChange { effective, connections, pending, tls, .. } = change;
        let mut text = SettingsText::encode(&worker_settings(&effective.settings, plan));
        text.material = material;
        {
            // A process that starts from now on starts with them.
            let mut of_next = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = text.clone();
            if next.material.is_none() {
                next.material = of_next.material.take();
            }
            *of_next = next;
        }
        if tls.is_some() {
            config.send_modify(|config| config.tls = tls);
        }
        slots.set_limit(connections);
        config.send_modify(|config| config.apply(effective));
        reloads.count(wanted, true);
        Ok((self.send_all(|answer| Command::Reload(text.clone(), answer)), pending))
    }
}

/// The settings of one worker. Limits of the whole server stay with the supervisor, and the worker has
/// its share of threads, connections and buffers. Limits of one address it has too, for clients whose address comes
/// in a PROXY header.
pub(crate) fn worker_settings(settings: &Settings, plan: &ProcessPlan) -> Settings {
    // Threads and connections: never 0, and both fit 32 bits.
    let number = |count: usize| std::num::NonZeroU32::new(count as u32);
    let mut settings = settings.clone();
    settings.server.admin = None;
    settings.admin.socket = None;
    settings.admin.token_file = None;
    settings.server.processes = Processes::Exactly(std::num::NonZeroU32::MIN);
    settings.server.threads = number(plan.threads);
    settings.limits.connections = number(plan.per_process);
    settings.limits.accept_rate = None;
    let buffers = buffer_limit(settings.limits.buffer_bytes) / plan.processes as u64;
    settings.limits.buffer_bytes = Some((buffers as usize).max(1));
    settings
}
