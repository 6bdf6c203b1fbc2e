//! The conversation of a worker with its supervisor, seen from the worker.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::sync::Notify;
use towline::{
    Outcome,
    internal::{
        CountsReader, PoolState, PublicId, TlsChange, commands::Closing, control::programmatic,
    },
};
use towline_config::Settings;

use crate::{
    channel::{Channel, Received},
    inbox::WorkerInbox,
    lists::ListsToSend,
    material,
    message::{Id, RowsPart, SettingsText, SupervisorMsg, ToWorker, WorkerMsg},
    watchdog::ControlWatchdog,
};

/// The worker's end of the channel, and what its messages act on.
pub(crate) struct ControlSession {
    channel: Channel,
    buffer: Box<[u8]>,
    inbox: WorkerInbox,
    context: SessionContext,
    watchdog: Arc<ControlWatchdog>,
    lists: ListsToSend,
}

/// What messages other than connections act on.
pub(crate) struct SessionContext {
    pool: Arc<PoolState>,
    reader: CountsReader,
    /// Notified when this process receives SIGTERM.
    stop_requested: Arc<Notify>,
    /// Called with the settings of each reload.
    applied: Box<dyn Fn(&Settings) + Send + Sync>,
}

impl SessionContext {
    pub(crate) fn new(
        pool: Arc<PoolState>,
        stop_requested: Arc<Notify>,
        applied: Box<dyn Fn(&Settings) + Send + Sync>,
    ) -> Self {
        Self { reader: CountsReader::new(pool.clone()), pool, stop_requested, applied }
    }

    /// Applies settings that the supervisor validated for this host.
    fn reload(&self, text: &SettingsText, memory: Option<OwnedFd>) -> WorkerMsg {
        let settings = match text.decode() {
            Ok(settings) => settings,
            Err(why) => return WorkerMsg::Failed(why),
        };
        if let Some(memory) = memory {
            let change =
                material::receive(memory).map_err(|error| error.to_string()).and_then(|material| {
                    TlsChange::new(Arc::new(material), &settings.tls)
                        .map_err(|error| error.to_string())
                });
            match change {
                Ok(change) => self.pool.apply_tls(Some(change)),
                Err(why) => return WorkerMsg::Failed(why),
            }
        }
        (self.applied)(&settings);
        self.pool.apply(programmatic(settings));
        WorkerMsg::Reloaded
    }
}

impl SessionContext {
    /// Asks connections to close. Returns those that are not open.
    fn close(&self, ids: Vec<Id>, how: Closing) -> Vec<Id> {
        let ids = ids.into_iter().map(|(worker, serial)| PublicId { worker, serial });
        let missing = self.pool.close(&ids.collect::<Vec<_>>(), how);
        missing.into_iter().map(|id| (id.worker, id.serial)).collect()
    }
}

/// Why [`ControlSession::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// The supervisor asks to drain.
    Drain,
    /// No further connection follows.
    NoMoreConnections,
    /// The supervisor asks to cut remaining connections.
    Cut,
    /// The supervisor has ended.
    SupervisorGone,
    /// Messages wait too long: this thread is too busy to read them.
    Overdue,
}

impl ControlSession {
    pub(crate) fn new(
        channel: Channel,
        buffer: Box<[u8]>,
        inbox: WorkerInbox,
        context: SessionContext,
        watchdog: Arc<ControlWatchdog>,
    ) -> Self {
        let lists = ListsToSend::default();
        Self { channel, buffer, inbox, context, watchdog, lists }
    }

    /// Moves the session to the runtime of the calling thread.
    pub(crate) fn reregister(self) -> io::Result<Self> {
        Ok(Self { channel: self.channel.reregister()?, ..self })
    }

    /// Receives connections, sends acks and answers messages, until the worker has to do something
    /// about its shards or about this session. Can be called again afterwards.
    pub(crate) async fn run(&mut self) -> SessionEnd {
        loop {
            let slots = self.inbox.slots().clone();
            // Registered before the ack is computed, so that a connection that ends in between is not
            // missed.
            let changed = slots.changed();
            while let Some(ack) = self.inbox.due_ack() {
                if self.channel.send(&ack.encode()).await.is_err() {
                    return SessionEnd::SupervisorGone;
                }
            }
            tokio::select! {
                received = self.channel.receive(&mut self.buffer) => match received {
                    Ok(Some(received)) => {
                        if let Some(end) = self.handle(received).await {
                            return end;
                        }
                    }
                    Ok(None) => return SessionEnd::SupervisorGone,
                    Err(error) => {
                        tracing::error!(%error, "cannot read from the supervisor");
                        return SessionEnd::SupervisorGone;
                    }
                },
                () = self.watchdog.overdue() => return SessionEnd::Overdue,
                () = changed => {}
                () = self.inbox.tagged_ended() => {}
                // One part at a time: connections come in between.
                () = self.lists.send_part(&self.channel), if !self.lists.is_empty() => {}
                () = self.context.stop_requested.notified() => {
                    self.send(&WorkerMsg::StopRequested).await;
                }
            }
        }
    }

    async fn handle(&mut self, Received { length, socket }: Received) -> Option<SessionEnd> {
        self.watchdog.message_read();
        match ToWorker::decode(&self.buffer[..length]) {
            Some(ToWorker::Connection(message)) => self.inbox.receive(message, socket).await,
            Some(ToWorker::Control(message)) => match message {
                SupervisorMsg::SendCounts => self.send_counts().await,
                SupervisorMsg::SendRows(wanted) => {
                    let pool = self.context.pool.clone();
                    self.lists.push(move || RowsPart::encode_all(pool.rows(&wanted)));
                }
                SupervisorMsg::SendClosed(max) => {
                    let pool = self.context.pool.clone();
                    self.lists.push(move || WorkerMsg::encode_closed(pool.closed(max)));
                }
                SupervisorMsg::Reload(settings) => {
                    let answer = self.context.reload(&settings, socket);
                    self.send(&answer).await;
                }
                SupervisorMsg::Close(ids, how) => {
                    let missing = self.context.close(ids, how);
                    self.send(&WorkerMsg::Missing(missing)).await;
                }
                SupervisorMsg::Drain => return Some(SessionEnd::Drain),
                SupervisorMsg::NoMoreConnections => return Some(SessionEnd::NoMoreConnections),
                SupervisorMsg::Cut => return Some(SessionEnd::Cut),
                SupervisorMsg::Serve(..) => tracing::error!("the supervisor sent settings twice"),
            },
            None => tracing::error!("invalid message from the supervisor"),
        }
        None
    }

    /// Sends a message. An error is ignored: the next receive reports that the supervisor has ended.
    pub(crate) async fn send(&self, message: &WorkerMsg) {
        let _ = self.channel.send(&message.encode()).await;
    }

    async fn send_counts(&self) {
        self.send(&WorkerMsg::Counts(Box::new(self.context.reader.read()))).await;
    }

    /// Ends the session: sends the last counts, so that the sums miss nothing, and then how many
    /// connections were cut.
    pub(crate) async fn finish(self, outcome: Outcome) {
        self.send_counts().await;
        self.send(&WorkerMsg::Ended(outcome.connections_cut())).await;
    }
}
