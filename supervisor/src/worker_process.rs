//! One worker process, from its start to its end, as the supervisor sees it.

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    process::{self, Child},
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};

use crate::{
    channel::{self, Arrived, Channel},
    message::{SettingsText, SupervisorMsg, ToSupervisor, WorkerMsg},
    pool::WorkerPool,
};
use towline::RunError;

/// A process that does not serve by then has failed.
const START_MAX: Duration = Duration::from_secs(30);

/// How often a process is asked what it counted: what it counted since is lost when it dies.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How long an send may take to be sent. A process that takes none is stopped or stuck.
const SEND_MAX: Duration = Duration::from_secs(1);

/// How long a process may take to end once it was stop_intent to end at once.
const CUT_MAX: Duration = Duration::from_secs(2);

/// How to start a worker process: a program, with arguments, that calls
/// [`Worker::receive`](crate::Worker::receive) and [`Worker::serve`](crate::Worker::serve).
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program, usually the one that runs now.
    pub program: PathBuf,
    /// Its arguments. The process's number is put behind them, for those who look at a list of
    /// processes.
    pub arguments: Vec<OsString>,
}

/// What the supervisor wants of a process.
#[derive(Debug)]
pub(crate) enum Command {
    /// To have its latest numbers noted; answered when they are.
    Count(oneshot::Sender<()>),
    /// To serve on with other settings; answered with why not.
    Reload(SettingsText, oneshot::Sender<Result<(), String>>),
    /// To finish, and not to be started again.
    Drain,
    /// To wait for no more connections.
    Last,
    /// To end now.
    Cut,
}

/// Why a process is to end, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopIntent {
    /// It is not.
    Nothing,
    /// Somebody else stop_intent it to; another one takes its place.
    Leave,
    /// The server ends.
    End,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct WorkerExit {
    pub(crate) stop_intent: StopIntent,
    pub(crate) status: io::Result<ExitStatus>,
    /// The connections it cut; `None` if it did not come to say so.
    pub(crate) cut: Option<u64>,
}

/// A process that serves.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    channel: Arc<Channel>,
    buffer: Box<[u8]>,
    /// Who waits for an answer.
    counting: Vec<oneshot::Sender<()>>,
    reloading: Option<oneshot::Sender<Result<(), String>>>,
    stop_intent: StopIntent,
    /// When it is killed, if it has not ended by itself.
    kill_at: Option<Instant>,
    cut: Option<u64>,
}

impl WorkerProcess {
    /// Starts one, and waits until it serves.
    pub(crate) async fn start(
        index: usize,
        command: &WorkerCommand,
        settings: SettingsText,
    ) -> Result<Self, RunError> {
        let failed = |why: io::Error| RunError::failed(&format!("worker process {index}"), &why);
        let (ours, theirs) = channel::pair().map_err(failed)?;
        let child = process::Command::new(&command.program)
            .arg0("towline")
            .args(&command.arguments)
            .arg(index.to_string())
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut process = Self {
            child,
            channel: Arc::new(Channel::new(ours).map_err(failed)?),
            buffer: channel::buffer(),
            counting: Vec::new(),
            reloading: None,
            stop_intent: StopIntent::Nothing,
            kill_at: None,
            cut: None,
        };
        process.channel.send(&SupervisorMsg::Serve(settings).bytes()).await.map_err(failed)?;
        match timeout(START_MAX, process.wait_until_ready()).await {
            Ok(ready) => ready.map(|()| process).map_err(failed),
            Err(_late) => Err(failed(io::Error::other("it did not get ready in time"))),
        }
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let Some(Arrived { length, .. }) = self.channel.receive(&mut self.buffer).await? else {
            let status = self.child.wait().await?;
            return Err(io::Error::other(format!("it ended before it served ({status})")));
        };
        match ToSupervisor::read(&self.buffer[..length]) {
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Ready)) => Ok(()),
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Failed(why))) => Err(io::Error::other(why)),
            _ => Err(io::Error::other("it is another version of this program")),
        }
    }

    pub(crate) fn channel(&self) -> Arc<Channel> {
        self.channel.clone()
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Listens to it and grants commands, until it has ended.
    pub(crate) async fn run(
        mut self,
        index: usize,
        pool: &WorkerPool,
        commands: &mut mpsc::Receiver<Command>,
    ) -> WorkerExit {
        let mut count = interval_at(Instant::now() + COUNT_EVERY, COUNT_EVERY);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let kill_at = self.kill_at;
            tokio::select! {
                arrived = self.channel.receive(&mut self.buffer) => match arrived {
                    Ok(Some(Arrived { length, .. })) => {
                        let message = ToSupervisor::read(&self.buffer[..length]);
                        self.handle(index, pool, message).await;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(process = index, %error, "worker process not heard");
                        break;
                    }
                },
                // Nobody commands anything any more when the server has ended.
                command = commands.recv() => self.execute(index, pool, command.unwrap_or(Command::Cut)).await,
                _ = count.tick() => self.ask_for_count(),
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    tracing::warn!(process = index, "worker process does not end, killing it");
                    break;
                }
            }
        }
        // It has closed its end, so it ends by itself or is of no use any more.
        let _ = self.child.start_kill();
        WorkerExit { stop_intent: self.stop_intent, status: self.child.wait().await, cut: self.cut }
    }

    async fn handle(&mut self, index: usize, pool: &WorkerPool, message: Option<ToSupervisor>) {
        match message {
            Some(ToSupervisor::Ack(ack)) => pool.ack(index, &ack),
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Counted(snapshot))) => {
                pool.note(index, *snapshot);
                for waiting in self.counting.drain(..) {
                    // It may have waited long enough.
                    let _ = waiting.send(());
                }
            }
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Reloaded)) => self.answer_reload(Ok(())),
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Failed(why))) => self.answer_reload(Err(why)),
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Leaving))
                if self.stop_intent == StopIntent::Nothing =>
            {
                tracing::info!(
                    process = index,
                    "worker process stop_intent to end, another will follow"
                );
                self.stop_intent = StopIntent::Leave;
                pool.rest(index);
                self.send(&SupervisorMsg::Drain).await;
                self.send(&SupervisorMsg::Last).await;
            }
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Ended(cut))) => self.cut = Some(cut),
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Ready | WorkerMsg::Leaving)) => {}
            None => tracing::error!(process = index, "worker process not understood"),
        }
    }

    fn answer_reload(&mut self, answer: Result<(), String>) {
        if let Some(waiting) = self.reloading.take() {
            let _ = waiting.send(answer);
        }
    }

    async fn execute(&mut self, index: usize, pool: &WorkerPool, command: Command) {
        match command {
            Command::Count(waiting) => {
                self.counting.push(waiting);
                self.ask_for_count();
            }
            Command::Reload(settings, waiting) => {
                self.reloading = Some(waiting);
                self.send(&SupervisorMsg::Reload(settings)).await;
            }
            Command::Drain => {
                self.stop_intent = StopIntent::End;
                self.send(&SupervisorMsg::Drain).await;
            }
            Command::Last => {
                pool.rest(index);
                self.send(&SupervisorMsg::Last).await;
            }
            Command::Cut => {
                self.stop_intent = StopIntent::End;
                pool.rest(index);
                self.kill_at = Some(Instant::now() + CUT_MAX);
                self.send(&SupervisorMsg::Cut).await;
            }
        }
    }

    async fn send(&mut self, send: &SupervisorMsg) {
        if !matches!(timeout(SEND_MAX, self.channel.send(&send.bytes())).await, Ok(Ok(()))) {
            self.kill_at = Some(Instant::now());
        }
    }

    /// One that is too busy to be asked is asked again soon.
    fn ask_for_count(&self) {
        let _ = self.channel.try_send(&SupervisorMsg::Count.bytes(), None);
    }
}
