//! One worker process, from its start to its exit, as the supervisor sees it.

mod start;

use std::{collections::VecDeque, os::fd::AsFd, sync::Arc, time::Duration};

use tokio::{
    process::Child,
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};

pub use self::start::WorkerCommand;
use crate::{
    channel::{Channel, Received},
    command::{Command, StopIntent, WorkerExit},
    dispatch::WorkerDispatch,
    inbound::Inbound,
    lists::Lists,
    liveness::{Change, KILLED_AFTER, Liveness},
    message::{Id, RowsPart, SupervisorMsg, ToSupervisor, WorkerMsg},
    pool::WorkerPool,
};
use towline::internal::ClosedJson;

/// How often a process reports its counts, which also shows that it answers. Counts since the last
/// report are lost when it dies.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a message may wait for room in the channel. A process that reads nothing for that long is
/// stopped or stuck, and is killed.
const SEND_MAX: Duration = Duration::from_secs(1);

/// How long a process may take to exit after [`Command::Cut`].
const CUT_MAX: Duration = Duration::from_secs(2);

/// A process that serves.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    channel: Arc<Channel>,
    inbound: Inbound,
    buffer: Box<[u8]>,
    /// Answered by the next report.
    count_requests: Vec<oneshot::Sender<()>>,
    /// Lists that it was asked for, and what has come of them.
    row_requests: Lists<RowsPart>,
    closed_requests: Lists<ClosedJson>,
    /// Answered by the replies to requests to close connections, in order.
    close_requests: VecDeque<oneshot::Sender<Vec<Id>>>,
    /// Answered by the replies to reloads, in order.
    reload_requests: VecDeque<oneshot::Sender<Result<(), String>>>,
    liveness: Liveness,
    stop_intent: StopIntent,
    /// When it is killed, unless it has exited.
    kill_at: Option<Instant>,
    cut: Option<u64>,
}

impl WorkerProcess {
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
        dispatch: &WorkerDispatch,
        commands: &mut mpsc::Receiver<Command>,
    ) -> WorkerExit {
        let pool = &*dispatch.pool;
        let mut report = interval_at(Instant::now() + REPORT_INTERVAL, REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let kill_at = self.kill_at;
            tokio::select! {
                received = self.channel.receive(&mut self.buffer) => match received {
                    Ok(Some(Received { length, .. })) => {
                        let message = ToSupervisor::decode(&self.buffer[..length]);
                        self.answered(index, pool);
                        self.handle(index, pool, message).await;
                    }
                    // Not seen while `inbound` keeps the channel open.
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(process = index, %error, "cannot read from worker process");
                        break;
                    }
                },
                _ = self.child.wait() => break,
                // The queue closes when the supervisor has ended without a drain.
                command = commands.recv() => {
                    self.execute(index, pool, command.unwrap_or(Command::Cut)).await;
                }
                _ = report.tick() => {
                    if self.count_silence(index, pool) == Change::Dead {
                        break;
                    }
                    // Before the question, which would be taken back as well.
                    if self.liveness.is_unresponsive() && self.stop_intent == StopIntent::None {
                        self.take_back(index, dispatch);
                    }
                    self.request_counts();
                }
                () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                    tracing::warn!(process = index, "worker process does not end, killing it");
                    break;
                }
            }
        }
        // It has exited, or is unusable.
        let _ = self.child.start_kill();
        let status = self.child.wait().await;
        // The last messages, which it sent before its exit.
        while let Ok(Some(Received { length, .. })) = self.channel.try_receive(&mut self.buffer) {
            let message = ToSupervisor::decode(&self.buffer[..length]);
            self.handle(index, pool, message).await;
        }
        pool.stop_sending(index);
        if self.stop_intent != StopIntent::Stop {
            self.take_back(index, dispatch);
        }
        WorkerExit { stop_intent: self.stop_intent, status, cut: self.cut }
    }

    /// Returns the connections that the process has not received to the queue for the next process with
    /// room.
    fn take_back(&mut self, index: usize, dispatch: &WorkerDispatch) {
        for message in self.inbound.return_connections(index, dispatch, &mut self.buffer) {
            // There is room: the channel is empty now.
            let _ = self.channel.try_send(&message.encode(), None);
        }
    }

    /// Notes that the process is asked for its counts, and whether it has answered before.
    fn count_silence(&mut self, index: usize, pool: &WorkerPool) -> Change {
        let change = self.liveness.asked();
        match change {
            Change::Dead => tracing::error!(
                process = index,
                pid = self.id(),
                "worker process did not answer for {:?}, killing it",
                KILLED_AFTER * REPORT_INTERVAL
            ),
            // One that drains answers late while its threads end, and gets no connections anyway.
            Change::Unresponsive if self.stop_intent == StopIntent::None => {
                tracing::warn!(
                    process = index,
                    pid = self.id(),
                    "worker process does not answer: it gets no new connections"
                );
                pool.set_unresponsive(index, true);
            }
            _ => {}
        }
        if self.liveness.is_unresponsive() {
            // Scrapes do not wait for it: dropping the senders answers them.
            self.count_requests.clear();
            self.row_requests.give_up();
            self.closed_requests.give_up();
        }
        change
    }

    /// Notes that the process has sent a message.
    fn answered(&mut self, index: usize, pool: &WorkerPool) {
        if self.liveness.answered() == Change::Responsive && self.stop_intent == StopIntent::None {
            tracing::info!(process = index, pid = self.id(), "worker process answers again");
            pool.set_unresponsive(index, false);
        }
    }

    async fn handle(&mut self, index: usize, pool: &WorkerPool, message: Option<ToSupervisor>) {
        match message {
            Some(ToSupervisor::Ack(ack)) => pool.ack(index, &ack),
            Some(ToSupervisor::Rows(part)) => {
                let last = part.last.is_some();
                self.row_requests.add(vec![part], last);
            }
            Some(ToSupervisor::Control(message)) => match message {
                WorkerMsg::Counts(snapshot) => {
                    pool.record(index, *snapshot);
                    for request in self.count_requests.drain(..) {
                        // Fails if the scrape has given up waiting.
                        let _ = request.send(());
                    }
                }
                WorkerMsg::Closed(closed, last) => self.closed_requests.add(closed, last),
                WorkerMsg::Missing(ids) => {
                    if let Some(request) = self.close_requests.pop_front() {
                        let _ = request.send(ids);
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
        if let Some(request) = self.reload_requests.pop_front() {
            let _ = request.send(answer);
        }
    }

    async fn execute(&mut self, index: usize, pool: &WorkerPool, command: Command) {
        match command {
            // Answered at once, by dropping the sender: the last report is the latest there is.
            Command::SendCounts(_) | Command::SendRows(..) | Command::SendClosed(..)
                if self.liveness.is_unresponsive() => {}
            Command::SendRows(wanted, answer) => {
                if self.row_requests.push(answer) {
                    self.send(&SupervisorMsg::SendRows(wanted)).await;
                }
            }
            Command::SendClosed(max, answer) => {
                if self.closed_requests.push(answer) {
                    self.send(&SupervisorMsg::SendClosed(max)).await;
                }
            }
            Command::SendCounts(answer) => {
                self.count_requests.push(answer);
                self.request_counts();
            }
            // The sender is dropped: its process does not answer.
            Command::Close(..) if self.liveness.is_unresponsive() => {}
            Command::Close(ids, how, answer) => {
                self.close_requests.push_back(answer);
                self.send(&SupervisorMsg::Close(ids, how)).await;
            }
            Command::Reload(settings, answer) => {
                self.reload_requests.push_back(answer);
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
        let descriptor = message.descriptor().map(AsFd::as_fd);
        let bytes = message.encode();
        let sending = self.channel.send_with(&bytes, descriptor);
        if !matches!(timeout(SEND_MAX, sending).await, Ok(Ok(()))) {
            self.kill_at = Some(Instant::now());
        }
    }

    /// Asks for a report without waiting; a full channel skips it until the next interval.
    fn request_counts(&self) {
        let _ = self.channel.try_send(&SupervisorMsg::SendCounts.encode(), None);
    }
}
