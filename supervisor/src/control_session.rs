//! What a worker and its supervisor tell each other, seen from the worker.

use std::{io, sync::Arc};

use tokio::sync::Notify;
use towline_config::Settings;

use crate::{
    channel::{Arrived, Channel},
    inbox::Intake,
    message::{Order, ToWorker, Word, WrittenSettings},
    watchdog::Attention,
};
use towline::{
    Outcome,
    internal::{Reader, Shared, control::of_a_program},
};

/// A worker's end of it.
pub(crate) struct Conversation {
    channel: Channel,
    buffer: Box<[u8]>,
    intake: Intake,
    subject: Subject,
    attention: Arc<Attention>,
}

/// What they talk about, beside connections.
pub(crate) struct Subject {
    shared: Arc<Shared>,
    reader: Reader,
    /// Somebody else tells this process to end.
    leave: Arc<Notify>,
    /// Told of the settings of each reload.
    applied: Box<dyn Fn(&Settings) + Send + Sync>,
}

impl Subject {
    pub(crate) fn new(
        shared: Arc<Shared>,
        leave: Arc<Notify>,
        applied: Box<dyn Fn(&Settings) + Send + Sync>,
    ) -> Self {
        Self { reader: Reader::new(shared.clone()), shared, leave, applied }
    }

    /// Takes over settings that the supervisor found to hold for all.
    fn reload(&self, written: &WrittenSettings) -> Word {
        let Some(settings) = written.read() else {
            return Word::Failed("the settings are of another version".to_owned());
        };
        (self.applied)(&settings);
        self.shared.take_over(of_a_program(settings));
        Word::Reloaded
    }
}

/// What is more than an answer can settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
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

impl Conversation {
    pub(crate) const fn new(
        channel: Channel,
        buffer: Box<[u8]>,
        intake: Intake,
        subject: Subject,
        attention: Arc<Attention>,
    ) -> Self {
        Self { channel, buffer, intake, subject, attention }
    }

    /// The same, on the thread that runs now.
    pub(crate) fn moved(self) -> io::Result<Self> {
        Ok(Self { channel: self.channel.moved()?, ..self })
    }

    /// Takes connections, keeps the tally and answers, until something is heard that ends this.
    pub(crate) async fn go_on(&mut self) -> Heard {
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
                () = self.attention.late() => return Heard::Late,
                () = changed => {}
                () = self.intake.mark_ended() => {}
                () = self.subject.leave.notified() => self.say(&Word::Leaving).await,
            }
        }
    }

    async fn hear(&mut self, Arrived { length, socket }: Arrived) -> Option<Heard> {
        self.attention.heard();
        match ToWorker::read(&self.buffer[..length]) {
            Some(ToWorker::Handed(handed)) => self.intake.take(handed, socket).await,
            Some(ToWorker::Order(Order::Count)) => self.tell_count().await,
            Some(ToWorker::Order(Order::Reload(written))) => {
                let word = self.subject.reload(&written);
                self.say(&word).await;
            }
            Some(ToWorker::Order(Order::Drain)) => return Some(Heard::Drain),
            Some(ToWorker::Order(Order::Last)) => return Some(Heard::Last),
            Some(ToWorker::Order(Order::Cut)) => return Some(Heard::Cut),
            Some(ToWorker::Order(Order::Serve(_))) | None => {
                tracing::error!("the supervisor was not understood");
            }
        }
        None
    }

    /// Says something. That a supervisor is gone shows where it is listened to.
    pub(crate) async fn say(&self, word: &Word) {
        let _ = self.channel.send(&word.bytes()).await;
    }

    async fn tell_count(&self) {
        self.say(&Word::Counted(Box::new(self.subject.reader.read()))).await;
    }

    /// Says goodbye: the last numbers first, so that nothing is missing in the sums.
    pub(crate) async fn part(self, outcome: Outcome) {
        self.tell_count().await;
        let cut = match outcome {
            Outcome::Clean => 0,
            Outcome::Cut(connections) => connections,
        };
        self.say(&Word::Ended(cut)).await;
    }
}
