//! A process that serves what its supervisor hands it.

use std::{convert::Infallible, io, os::fd::AsFd, sync::Arc};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::{
    pin,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot, watch},
    time::sleep,
};
use towline_config::Settings;

use crate::{
    channel::{self, Channel},
    control_session::{Conversation, Heard, Subject},
    inbox::Intake,
    message::{Order, ToWorker, Word},
    watchdog::Attention,
};
use towline::{
    Outcome, RunError,
    internal::{Now, Plan, Shards, ToShards, control::of_a_program, relieve, stack, threads},
};
use towline_host::{HostLimits, raise_descriptor_limit};

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
        let runtime = threads::runtime().map_err(failed)?;
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

    /// Serves until it is told to end or the supervisor is gone, and drains then. Calls `applied` with
    /// the settings of each reload, for what a process has beside its server.
    ///
    /// # Errors
    /// When it cannot start, which the supervisor hears too.
    pub fn serve(
        self,
        applied: impl Fn(&Settings) + Send + Sync + 'static,
    ) -> Result<Outcome, RunError> {
        let Self { runtime, channel, buffer, settings } = self;
        runtime.block_on(async {
            let leave = Arc::new(Notify::new());
            heed_signals(leave.clone())
                .map_err(|why| RunError::failed("signals cannot be handled", &why))?;
            let (shards, deliver) = match start(settings) {
                Ok(started) => started,
                Err(why) => {
                    // A supervisor that is gone needs no answer.
                    let _ = channel.send(&Word::Failed(why.to_string()).bytes()).await;
                    return Err(why);
                }
            };
            let intake = Intake::new(shards.shared().slots.clone(), deliver);
            let subject = Subject::new(shards.shared().clone(), leave, Box::new(applied));
            let attention = Arc::<Attention>::default();
            let conversed = async {
                let end = channel.watched()?;
                let conversation =
                    Conversation::new(channel, buffer, intake, subject, attention.clone());
                converse(conversation, shards, attention.look_out(end)).await
            };
            conversed.await.map_err(|why| RunError::failed("the supervisor cannot be heard", &why))
        })
    }
}

fn start(settings: Settings) -> Result<(Shards, ToShards), RunError> {
    raise_descriptor_limit();
    let plan = Plan::of(&settings, HostLimits::read())?;
    let now = Arc::new(watch::channel(Now::first(of_a_program(settings))).0);
    Shards::start(&now, &plan, |parts| {
        let lines = stack::configured(parts);
        move |_peer| lines.clone()
    })
}

/// Signals reach all processes of a terminal's group, and only the supervisor is to answer those
/// that mean the server: so they end no worker. One told to end by somebody who means just this
/// process asks the supervisor to be let go.
fn heed_signals(leave: Arc<Notify>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    for ignored in [SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()] {
        let _ = signal(ignored)?;
    }
    tokio::spawn(async move {
        while terminate.recv().await.is_some() {
            leave.notify_one();
        }
    });
    Ok(())
}

async fn converse(
    conversation: Conversation,
    shards: Shards,
    looking_out: impl Future<Output = ()>,
) -> io::Result<Outcome> {
    tokio::spawn(relieve(shards.shared().clone()));
    // On the thread of a shard, to which a connection then costs no wake-up of another thread.
    let shard = shards.shared().runtimes[0].clone();
    let serving = shard.spawn(async move {
        let mut conversation = conversation.moved()?;
        conversation.say(&Word::Ready).await;
        let heard = conversation.go_on().await;
        io::Result::Ok((conversation, heard))
    });
    let served = async {
        pin!(serving, looking_out);
        tokio::select! {
            served = &mut serving => served,
            () = looking_out => serving.await,
        }
    };
    let (conversation, mut heard) = served.await.map_err(io::Error::other)??;
    // The shards end before the last word is said.
    let mut conversation = conversation.moved()?;
    if heard == Heard::Late {
        // From now on, here, where there is nothing else to do.
        tracing::debug!("a busy thread is spared listening to the supervisor");
        heard = conversation.go_on().await;
    }

    let (cut, is_cut) = oneshot::channel();
    let (last, is_last) = oneshot::channel();
    let (mut cut, mut last, mut is_alone) = (Some(cut), Some(last), false);
    {
        let drained = drain(&shards, is_last, is_cut);
        pin!(drained);
        loop {
            match heard {
                Heard::Drain | Heard::Late => {}
                Heard::Last => drop(last.take()),
                Heard::Cut => drop(cut.take()),
                Heard::Nobody => {
                    tracing::error!("the supervisor is gone: draining");
                    is_alone = true;
                    drop(last.take());
                }
            }
            tokio::select! {
                () = &mut drained => break,
                more = conversation.go_on(), if !is_alone => heard = more,
            }
        }
    }
    let outcome = Outcome::of(shards.end().await);
    conversation.part(outcome).await;
    Ok(outcome)
}

/// Lets connections finish, until all are gone and no more can come, or the deadline `timeouts.drain`
/// passes, or `cut` ends it.
async fn drain(
    shards: &Shards,
    last: oneshot::Receiver<Infallible>,
    cut: oneshot::Receiver<Infallible>,
) {
    let timeouts = shards.shared().now.borrow().effective.settings.timeouts.clone();
    let in_order = async {
        shards.let_go(&timeouts).await;
        let _ = last.await;
        shards.all_gone().await;
    };
    tokio::select! {
        () = in_order => {}
        () = sleep(timeouts.drain) => {
            tracing::warn!(deadline = ?timeouts.drain, "drain deadline passed");
        }
        _ = cut => {}
    }
}
