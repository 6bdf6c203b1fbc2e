//! What a worker and its supervisor tell each other, seen from the worker.

use std::{io, sync::Arc};

use tokio::sync::Notify;
use towline_config::Settings;

use crate::{
    channel::{Arrived, Channel},
    inbox::WorkerInbox,
    message::{SettingsText, SupervisorMsg, ToWorker, WorkerMsg},
    watchdog::ControlWatchdog,
};
use towline::{
    Outcome,
    internal::{CountsReader, PoolState, control::programmatic},
};

/// A worker's end of it.
pub(crate) struct ControlSession {
    channel: Channel,
    buffer: Box<[u8]>,
    inbox: WorkerInbox,
    context: SessionContext,
    watchdog: Arc<ControlWatchdog>,
}

/// What they talk about, beside connections.
pub(crate) struct SessionContext {
    shared: Arc<PoolState>,
    reader: CountsReader,
    /// Somebody else tells this process to end.
    leave_requested: Arc<Notify>,
    /// Told of the settings of each reload.
    applied: Box<dyn Fn(&Settings) + Send + Sync>,
}

impl SessionContext {
    pub(crate) fn new(
        shared: Arc<PoolState>,
        leave_requested: Arc<Notify>,
        applied: Box<dyn Fn(&Settings) + Send + Sync>,
    ) -> Self {
        Self { reader: CountsReader::new(shared.clone()), shared, leave_requested, applied }
    }

    /// Takes over settings that the supervisor found to hold for all.
    fn reload(&self, written: &SettingsText) -> WorkerMsg {
        let Some(settings) = written.read() else {
            return WorkerMsg::Failed("the settings are of another version".to_owned());
        };
        (self.applied)(&settings);
        self.shared.apply(programmatic(settings));
        WorkerMsg::Reloaded
    }
}

/// What is more than an answer can settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// It is to finish and end.
    Drain,
    /// No connection follows any more.
    Last,
    /// It is to end now.
    Cut,
    /// There is no supervisor any more.
    Nobody,
    /// Nothing, for too long: this thread is too busy to listen.
    Late,
}

impl ControlSession {
    pub(crate) const fn new(
        channel: Channel,
        buffer: Box<[u8]>,
        inbox: WorkerInbox,
        context: SessionContext,
        watchdog: Arc<ControlWatchdog>,
    ) -> Self {
        Self { channel, buffer, inbox, context, watchdog }
    }

    /// The same, on the thread that runs now.
    pub(crate) fn moved(self) -> io::Result<Self> {
        Ok(Self { channel: self.channel.moved()?, ..self })
    }

    /// Takes connections, keeps the ack and answers, until something is heard that ends this.
    pub(crate) async fn run(&mut self) -> SessionEnd {
        loop {
            let slots = self.inbox.slots().clone();
            // Registered before the look, so that no end in between is missed.
            let changed = slots.changed();
            while let Some(ack) = self.inbox.pending_ack() {
                if self.channel.send(&ack.bytes()).await.is_err() {
                    return SessionEnd::Nobody;
                }
            }
            tokio::select! {
                arrived = self.channel.receive(&mut self.buffer) => match arrived {
                    Ok(Some(arrived)) => {
                        if let Some(heard) = self.handle(arrived).await {
                            return heard;
                        }
                    }
                    Ok(None) => return SessionEnd::Nobody,
                    Err(error) => {
                        tracing::error!(%error, "the supervisor cannot be heard");
                        return SessionEnd::Nobody;
                    }
                },
                () = self.watchdog.late() => return SessionEnd::Late,
                () = changed => {}
                () = self.inbox.tag_ended() => {}
                () = self.context.leave_requested.notified() => self.send(&WorkerMsg::Leaving).await,
            }
        }
    }

    async fn handle(&mut self, Arrived { length, socket }: Arrived) -> Option<SessionEnd> {
        self.watchdog.heard();
        match ToWorker::read(&self.buffer[..length]) {
            Some(ToWorker::ConnectionMsg(message)) => self.inbox.take(message, socket).await,
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Count)) => self.send_counts().await,
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Reload(written))) => {
                let message = self.context.reload(&written);
                self.send(&message).await;
            }
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Drain)) => return Some(SessionEnd::Drain),
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Last)) => return Some(SessionEnd::Last),
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Cut)) => return Some(SessionEnd::Cut),
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Serve(_))) | None => {
                tracing::error!("the supervisor was not understood");
            }
        }
        None
    }

    /// Says something. That a supervisor is gone shows where it is listened to.
    pub(crate) async fn send(&self, message: &WorkerMsg) {
        let _ = self.channel.send(&message.bytes()).await;
    }

    async fn send_counts(&self) {
        self.send(&WorkerMsg::Counted(Box::new(self.context.reader.read()))).await;
    }

    /// Says goodbye: the last numbers first, so that nothing is missing in the sums.
    pub(crate) async fn finish(self, outcome: Outcome) {
        self.send_counts().await;
        self.send(&WorkerMsg::Ended(outcome.connections_cut())).await;
    }
}
