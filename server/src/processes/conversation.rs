//! What a worker and its supervisor tell each other, seen from the worker.

use std::{io, sync::Arc};

use tokio::sync::Notify;

use super::{
    channel::{Arrived, Channel},
    intake::Intake,
    message::{Order, ToWorker, Word},
};
use crate::{Outcome, exporter::Reader, shared::Shared};

/// A worker's end of it, and all it talks about.
pub(super) struct Conversation {
    channel: Channel,
    buffer: Box<[u8]>,
    reader: Reader,
    intake: Intake,
    /// Somebody else tells this process to end.
    leave: Arc<Notify>,
}

/// What is more than an answer can settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is to finish and end.
    Drain,
    /// It is to end now.
    Cut,
    /// There is no supervisor any more.
    Nobody,
}

impl Conversation {
    pub(super) fn new(
        channel: Channel,
        buffer: Box<[u8]>,
        shared: Arc<Shared>,
        intake: Intake,
        leave: Arc<Notify>,
    ) -> Self {
        Self { channel, buffer, reader: Reader::new(shared), intake, leave }
    }

    /// The same, on the thread that runs now.
    pub(super) fn moved(self) -> io::Result<Self> {
        Ok(Self { channel: self.channel.moved()?, ..self })
    }

    /// Takes connections, keeps the tally and answers, until something is heard that ends this.
    pub(super) async fn go_on(&mut self) -> Heard {
        loop {
            let slots = self.intake.slots().clone();
            // Registered before the look, so that no end in between is missed.
            let changed = slots.changed();
            while let Some(tally) = self.intake.news() {
                if self.channel.send(&tally.bytes()).await.is_err() {
                    return Heard::Nobody;
                }
            }
            tokio::select! {
                arrived = self.channel.receive(&mut self.buffer) => match arrived {
                    Ok(Some(arrived)) => {
                        if let Some(heard) = self.hear(arrived).await {
                            return heard;
                        }
                    }
                    Ok(None) => return Heard::Nobody,
                    Err(error) => {
                        tracing::error!(%error, "the supervisor cannot be heard");
                        return Heard::Nobody;
                    }
                },
                () = changed => {}
                () = self.intake.mark_ended() => {}
                () = self.leave.notified() => self.say(&Word::Leaving).await,
            }
        }
    }

    async fn hear(&mut self, Arrived { length, socket }: Arrived) -> Option<Heard> {
        match ToWorker::read(&self.buffer[..length]) {
            Some(ToWorker::Handed(handed)) => self.intake.take(handed, socket).await,
            Some(ToWorker::Order(Order::Count)) => self.tell_count().await,
            Some(ToWorker::Order(Order::Reload(written))) => {
                let word = Word::Failed(format!("not yet: {written:?}"));
                self.say(&word).await;
            }
            Some(ToWorker::Order(Order::Drain)) => return Some(Heard::Drain),
            Some(ToWorker::Order(Order::Cut)) => return Some(Heard::Cut),
            Some(ToWorker::Order(Order::Serve(_))) | None => {
                tracing::error!("the supervisor was not understood");
            }
        }
        None
    }

    /// Says something. That a supervisor is gone shows where it is listened to.
    pub(super) async fn say(&self, word: &Word) {
        let _ = self.channel.send(&word.bytes()).await;
    }

    async fn tell_count(&self) {
        self.say(&Word::Counted(Box::new(self.reader.read()))).await;
    }

    /// Says goodbye: the last numbers first, so that nothing is missing in the sums.
    pub(super) async fn part(self, outcome: Outcome) {
        self.tell_count().await;
        let cut = match outcome {
            Outcome::Clean => 0,
            Outcome::Cut(connections) => connections,
        };
        self.say(&Word::Ended(cut)).await;
    }
}
