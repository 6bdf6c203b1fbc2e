//! One worker process, from its start to its exit, as the supervisor sees it.

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
use towline::RunError;

use crate::{
    channel::{self, Channel, Received},
    message::{SettingsText, SupervisorMsg, ToSupervisor, WorkerMsg},
    pool::WorkerPool,
};

/// A process that does not serve within this time has failed.
const START_MAX: Duration = Duration::from_secs(30);

/// How often a process reports its counts. Those since the last report are lost when it dies.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a message may wait for room in the channel. A process that reads nothing for that long is
/// stopped or stuck, and is killed.
const SEND_MAX: Duration = Duration::from_secs(1);

/// How long a process may take to exit after [`Command::Cut`].
const CUT_MAX: Duration = Duration::from_secs(2);

/// How to start a worker process: a program that calls [`Worker::receive`](crate::Worker::receive) and
/// [`Worker::serve`](crate::Worker::serve).
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program, usually the one that runs now.
    pub program: PathBuf,
    /// Its arguments. The worker's number is added as the last one, so that it shows in a list of
    /// processes.
    pub arguments: Vec<OsString>,
}

/// A command to the task that supervises a process.
#[derive(Debug)]
pub(crate) enum Command {
    /// Record the latest counts; answered when that is done.
    SendCounts(oneshot::Sender<()>),
    /// Apply new settings; answered with the reason if they are not applied.
    Reload(SettingsText, oneshot::Sender<Result<(), String>>),
    /// Drain, and do not restart.
    Drain,
    /// No further connection follows.
    NoMoreConnections,
    /// Cut remaining connections and exit, and do not restart.
    Cut,
}

/// Why a process was told to end, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopIntent {
    /// It was not.
    None,
    /// It received SIGTERM; another process replaces it.
    Replace,
    /// The server ends.
    Stop,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct WorkerExit {
    pub(crate) stop_intent: StopIntent,
    pub(crate) status: io::Result<ExitStatus>,
    /// The connections that it cut; `None` if it ended without reporting them.
    pub(crate) cut: Option<u64>,
}

/// A process that serves.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    channel: Arc<Channel>,
    buffer: Box<[u8]>,
    /// Answered by the next report.
    count_requests: Vec<oneshot::Sender<()>>,
    /// Answered by the reply to the last reload.
    reload_request: Option<oneshot::Sender<Result<(), String>>>,
    stop_intent: StopIntent,
    /// When it is killed, unless it has exited.
    kill_at: Option<Instant>,
    cut: Option<u64>,
}

impl WorkerProcess {
    /// Starts a process, and waits until it serves.
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
            count_requests: Vec::new(),
            reload_request: None,
            stop_intent: StopIntent::None,
            kill_at: None,
            cut: None,
        };
        process.channel.send(&SupervisorMsg::Serve(settings).encode()).await.map_err(failed)?;
        match timeout(START_MAX, process.wait_until_ready()).await {
            Ok(ready) => ready.map(|()| process).map_err(failed),
            Err(_elapsed) => Err(failed(io::Error::other("it did not get ready in time"))),
        }
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let Some(Received { length, .. }) = self.channel.receive(&mut self.buffer).await? else {
            let status = self.child.wait().await?;
            return Err(io::Error::other(format!("it ended before it served ({status})")));
        };
        match ToSupervisor::decode(&self.buffer[..length]) {
            Some(ToSupervisor::Control(WorkerMsg::Ready)) => Ok(()),
            Some(ToSupervisor::Control(WorkerMsg::Failed(why))) => Err(io::Error::other(why)),
            _ => Err(io::Error::other("it is another version of this program")),
        }
    }

    pub(crate) fn channel(&self) -> Arc<Channel> {
        self.channel.clone()
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Handles the process's messages and executes commands, until the process has exited.
    pub(crate) async fn run(
        mut self,
        index: usize,
        pool: &WorkerPool,
        commands: &mut mpsc::Receiver<Command>,
    ) -> WorkerExit {
        let mut report = interval_at(Instant::now() + REPORT_INTERVAL, REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let kill_at = self.kill_at;
            tokio::select! {
                received = self.channel.receive(&mut self.buffer) => match received {
                    Ok(Some(Received { length, .. })) => {
                        let message = ToSupervisor::decode(&self.buffer[..length]);
                        self.handle(index, pool, message).await;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(process = index, %error, "cannot read from worker process");
                        break;
                    }
                },
                // The queue closes when the supervisor has ended without a drain.
                command = commands.recv() => {
                    self.execute(index, pool, command.unwrap_or(Command::Cut)).await;
                }
                _ = report.tick() => self.request_counts(),
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    tracing::warn!(process = index, "worker process does not end, killing it");
                    break;
                }
            }
        }
        // It has closed its end and is exiting, or is unusable.
        let _ = self.child.start_kill();
        WorkerExit { stop_intent: self.stop_intent, status: self.child.wait().await, cut: self.cut }
    }

    async fn handle(&mut self, index: usize, pool: &WorkerPool, message: Option<ToSupervisor>) {
        match message {
            Some(ToSupervisor::Ack(ack)) => pool.ack(index, &ack),
            Some(ToSupervisor::Control(message)) => match message {
                WorkerMsg::Counts(snapshot) => {
                    pool.record(index, *snapshot);
                    for request in self.count_requests.drain(..) {
                        // Fails if the scrape has given up waiting.
                        let _ = request.send(());
                    }
                }
                WorkerMsg::Reloaded => self.answer_reload(Ok(())),
                WorkerMsg::Failed(why) => self.answer_reload(Err(why)),
                WorkerMsg::StopRequested if self.stop_intent == StopIntent::None => {
                    tracing::info!(
                        process = index,
                        "worker process received SIGTERM: draining it, another will follow"
                    );
                    self.stop_intent = StopIntent::Replace;
                    pool.stop_sending(index);
                    self.send(&SupervisorMsg::Drain).await;
                    self.send(&SupervisorMsg::NoMoreConnections).await;
                }
                WorkerMsg::Ended(cut) => self.cut = Some(cut),
                WorkerMsg::Ready | WorkerMsg::StopRequested => {}
            },
            None => tracing::error!(process = index, "invalid message from worker process"),
        }
    }

    fn answer_reload(&mut self, answer: Result<(), String>) {
        if let Some(request) = self.reload_request.take() {
            let _ = request.send(answer);
        }
    }

    async fn execute(&mut self, index: usize, pool: &WorkerPool, command: Command) {
        match command {
            Command::SendCounts(answer) => {
                self.count_requests.push(answer);
                self.request_counts();
            }
            Command::Reload(settings, answer) => {
                self.reload_request = Some(answer);
                self.send(&SupervisorMsg::Reload(settings)).await;
            }
            Command::Drain => {
                self.stop_intent = StopIntent::Stop;
                self.send(&SupervisorMsg::Drain).await;
            }
            Command::NoMoreConnections => {
                pool.stop_sending(index);
                self.send(&SupervisorMsg::NoMoreConnections).await;
            }
            Command::Cut => {
                self.stop_intent = StopIntent::Stop;
                pool.stop_sending(index);
                self.kill_at = Some(Instant::now() + CUT_MAX);
                self.send(&SupervisorMsg::Cut).await;
            }
        }
    }

    /// Sends a message, or has the process killed if the channel stays full.
    async fn send(&mut self, message: &SupervisorMsg) {
        if !matches!(timeout(SEND_MAX, self.channel.send(&message.encode())).await, Ok(Ok(()))) {
            self.kill_at = Some(Instant::now());
        }
    }

    /// Asks for a report without waiting; a full channel skips it until the next interval.
    fn request_counts(&self) {
        let _ = self.channel.try_send(&SupervisorMsg::SendCounts.encode(), None);
    }
}
