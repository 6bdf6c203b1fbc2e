//! A process that serves what its supervisor hands it.

use std::{
    future::{Future, pending},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::Arc,
};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use towline_config::Settings;

use super::{
    channel::{self, Channel},
    intake::Intake,
    message::{Order, ToWorker, Word},
};
use crate::{
    Outcome, RunError, exporter::Reader, host::Host, plan::Plan, server::thread_runtime,
    shards::Shards, stack, to_shards::ToShards,
};

/// One of several processes that serve behind one port, started by the supervisor among them.
///
/// What it is started with is [`WorkerCommand`](crate::WorkerCommand); its standard input is the
/// supervisor's end of a socket pair.
#[derive(Debug)]
pub struct Worker {
    runtime: Runtime,
    channel: Channel,
    buffer: Box<[u8]>,
    settings: Settings,
}

impl Worker {
    /// Waits for the supervisor to say what is to be served.
    ///
    /// # Errors
    /// When standard input is no supervisor of this version.
    pub fn receive() -> Result<Self, RunError> {
        let failed = |why| RunError::failed("the supervisor cannot be heard", &why);
        let end = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let is_supervisor = matches!(sockopt::socket_domain(&end), Ok(AddressFamily::UNIX))
            && matches!(sockopt::socket_type(&end), Ok(SocketType::SEQPACKET));
        if !is_supervisor {
            return Err(RunError::usage(
                "a worker is started by `towline serve --processes`, which speaks to it on \
                 standard input: there is nobody who does",
            ));
        }
        let runtime = thread_runtime().map_err(failed)?;
        let mut buffer = channel::buffer();
        let (channel, settings) = runtime.block_on(async {
            let channel = Channel::new(end).map_err(failed)?;
            let first = channel.receive(&mut buffer).await.map_err(failed)?;
            let first = first.and_then(|first| ToWorker::read(&buffer[..first.length]));
            match first {
                Some(ToWorker::Order(Order::Serve(written))) => {
                    written.read().map(|settings| (channel, settings))
                }
                _ => None,
            }
            .ok_or_else(|| failed(io::Error::other("it is another version of this program")))
        })?;
        Ok(Self { runtime, channel, buffer, settings })
    }

    /// What it serves with; the log is to be started with it.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Serves until it is told to end or the supervisor is gone, and drains then.
    ///
    /// # Errors
    /// When it cannot start, which the supervisor hears too, or its channel fails.
    pub fn serve(self) -> Result<Outcome, RunError> {
        let Self { runtime, channel, buffer, settings } = self;
        let failed = |why| RunError::failed("the supervisor cannot be heard", &why);
        runtime.block_on(async {
            let mut signals = Signals::new()
                .map_err(|why| RunError::failed("signals cannot be handled", &why))?;
            let (shards, deliver) = match start(settings) {
                Ok(started) => started,
                Err(why) => {
                    channel.send(&Word::Failed(why.to_string()).bytes()).await.map_err(failed)?;
                    return Err(why);
                }
            };
            channel.send(&Word::Ready.bytes()).await.map_err(failed)?;
            let intake = Intake::new(shards.shared().slots.clone(), deliver);
            let mut service = Service::of(channel, buffer, shards, intake);
            let outcome = service.run(&mut signals).await.map_err(failed)?;
            service.part(outcome).await;
            Ok(outcome)
        })
    }
}

fn start(settings: Settings) -> Result<(Shards, ToShards), RunError> {
    let plan = Plan::of(&settings, Host::here())?;
    Shards::start(&Arc::new(settings), plan.threads, plan.connections, |parts| {
        let lines = stack::configured(parts);
        move |_peer| lines.clone()
    })
}

/// Signals reach all processes of a terminal's group, and only the supervisor is to answer those
/// that mean the server: so the worker keeps them from ending it.
struct Signals {
    terminate: Signal,
    _interrupt: Signal,
    _hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            _interrupt: signal(SignalKind::interrupt())?,
            _hang_up: signal(SignalKind::hangup())?,
        })
    }
}

type Draining = Pin<Box<dyn Future<Output = Outcome>>>;

/// The conversation with the supervisor, for as long as there is one.
struct Service {
    channel: Channel,
    buffer: Box<[u8]>,
    reader: Reader,
    intake: Intake,
    /// Until it drains.
    shards: Option<Shards>,
    draining: Option<Draining>,
    /// Ends the drain at once.
    cut: Option<oneshot::Sender<()>>,
    /// The supervisor has gone.
    alone: bool,
}

impl Service {
    fn of(channel: Channel, buffer: Box<[u8]>, shards: Shards, intake: Intake) -> Self {
        let reader = Reader::new(shards.shared().clone());
        let (shards, draining, cut) = (Some(shards), None, None);
        Self { channel, buffer, reader, intake, shards, draining, cut, alone: false }
    }

    async fn run(&mut self, signals: &mut Signals) -> io::Result<Outcome> {
        loop {
            // Registered before the look, so that no end in between is missed.
            let slots = self.intake.slots().clone();
            let changed = slots.changed();
            while let Some(tally) = self.intake.news() {
                if !self.alone {
                    self.channel.send(&tally.bytes()).await?;
                }
            }
            tokio::select! {
                arrived = self.channel.receive(&mut self.buffer), if !self.alone => match arrived? {
                    Some(arrived) => {
                        let message = ToWorker::read(&self.buffer[..arrived.length]);
                        self.hear(message, arrived.socket).await?;
                    }
                    None => {
                        tracing::error!("the supervisor is gone: draining");
                        self.alone = true;
                        self.drain();
                    }
                },
                () = changed => {}
                () = self.intake.mark_ended() => {}
                _ = signals.terminate.recv() => {
                    self.channel.send(&Word::Leaving.bytes()).await?;
                }
                outcome = ended(&mut self.draining) => return Ok(outcome),
            }
        }
    }
}

impl Service {
    async fn hear(&mut self, message: Option<ToWorker>, socket: Option<OwnedFd>) -> io::Result<()> {
        match message {
            Some(ToWorker::Handed(handed)) => self.intake.take(handed, socket).await,
            Some(ToWorker::Order(Order::Count)) => self.tell_count().await?,
            Some(ToWorker::Order(Order::Reload(written))) => {
                let word = Word::Failed(format!("not yet: {written:?}"));
                self.channel.send(&word.bytes()).await?;
            }
            Some(ToWorker::Order(Order::Drain)) => self.drain(),
            Some(ToWorker::Order(Order::Cut)) => {
                self.drain();
                // Fails when it is over already.
                self.cut.take().map(|cut| cut.send(()));
            }
            Some(ToWorker::Order(Order::Serve(_))) | None => {
                tracing::error!("the supervisor was not understood");
            }
        }
        Ok(())
    }

    async fn tell_count(&self) -> io::Result<()> {
        let snapshot = Box::new(self.reader.read());
        self.channel.send(&Word::Counted(snapshot).bytes()).await
    }

    fn drain(&mut self) {
        if let Some(shards) = self.shards.take() {
            let (cut, is_cut) = oneshot::channel();
            self.cut = Some(cut);
            self.draining = Some(Box::pin(shards.drain(async {
                if is_cut.await.is_err() {
                    pending().await
                }
            })));
        }
    }

    /// Says goodbye: the last numbers first, so that nothing is missing in the sums.
    async fn part(self, outcome: Outcome) {
        if self.alone {
            return;
        }
        let cut = match outcome {
            Outcome::Clean => 0,
            Outcome::Cut(connections) => connections,
        };
        let goodbye = async {
            self.tell_count().await?;
            self.channel.send(&Word::Ended(cut).bytes()).await
        };
        // There is nobody to tell when the supervisor has gone meanwhile.
        let _ = goodbye.await;
    }
}

/// Waits for the drain to be over, if there is one.
async fn ended(draining: &mut Option<Draining>) -> Outcome {
    match draining {
        Some(draining) => draining.await,
        None => pending().await,
    }
}
