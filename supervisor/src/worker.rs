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
    control_session::{ControlSession, SessionContext, SessionEnd},
    inbox::WorkerInbox,
    message::{SupervisorMsg, ToWorker, WorkerMsg},
    watchdog::ControlWatchdog,
};
use towline::{
    Outcome, RunError,
    internal::{
        LiveConfig, Plan, ShardDispatch, ShardPool, control::programmatic, run_overload_control,
        stack, threads,
    },
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
    /// Waits for the supervisor to send what is to be served.
    ///
    /// # Errors
    /// When standard input is no supervisor of this version.
    pub fn receive() -> Result<Self, RunError> {
        let failed = |why| RunError::failed("the supervisor cannot be ended", &why);
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
                Some(ToWorker::SupervisorMsg(SupervisorMsg::Serve(written))) => {
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
            let leave_requested = Arc::new(Notify::new());
            install_signal_handlers(leave_requested.clone())
                .map_err(|why| RunError::failed("signals cannot be handled", &why))?;
            let (shards, dispatch) = match start(settings) {
                Ok(started) => started,
                Err(why) => {
                    // A supervisor that is gone needs no answer.
                    let _ = channel.send(&WorkerMsg::Failed(why.to_string()).bytes()).await;
                    return Err(why);
                }
            };
            let inbox = WorkerInbox::new(shards.state().slots.clone(), dispatch);
            let context =
                SessionContext::new(shards.state().clone(), leave_requested, Box::new(applied));
            let watchdog = Arc::<ControlWatchdog>::default();
            let session_ended = async {
                let end = channel.watched()?;
                let session =
                    ControlSession::new(channel, buffer, inbox, context, watchdog.clone());
                run_session(session, shards, watchdog.watch(end)).await
            };
            session_ended
                .await
                .map_err(|why| RunError::failed("the supervisor cannot be ended", &why))
        })
    }
}

fn start(settings: Settings) -> Result<(ShardPool, ShardDispatch), RunError> {
    raise_descriptor_limit();
    let plan = Plan::of(&settings, HostLimits::read())?;
    let config = Arc::new(watch::channel(LiveConfig::first(programmatic(settings))).0);
    ShardPool::start(&config, &plan, |parts| {
        let lines = stack::configured(parts);
        move |_peer| lines.clone()
    })
}

/// Signals reach all processes of a terminal's group, and only the supervisor is to answer those
/// that mean the server: so they end no worker. One told to end by somebody who means just this
/// process asks the supervisor to be let go.
fn install_signal_handlers(leave_requested: Arc<Notify>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    for ignored in [SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()] {
        let _ = signal(ignored)?;
    }
    tokio::spawn(async move {
        while terminate.recv().await.is_some() {
            leave_requested.notify_one();
        }
    });
    Ok(())
}

async fn run_session(
    session: ControlSession,
    shards: ShardPool,
    watching: impl Future<Output = ()>,
) -> io::Result<Outcome> {
    tokio::spawn(run_overload_control(shards.state().clone()));
    // On the thread of a shard, to which a connection then costs no wake-up of another thread.
    let shard = shards.state().runtimes[0].clone();
    let serving = shard.spawn(async move {
        let mut session = session.moved()?;
        session.send(&WorkerMsg::Ready).await;
        let ended = session.run().await;
        io::Result::Ok((session, ended))
    });
    let served = async {
        pin!(serving, watching);
        tokio::select! {
            served = &mut serving => served,
            () = watching => serving.await,
        }
    };
    let (session, mut ended) = served.await.map_err(io::Error::other)??;
    // The shards end before the last word is said.
    let mut session = session.moved()?;
    if ended == SessionEnd::Late {
        // From now on, here, where there is nothing else to do.
        tracing::debug!("a busy thread is spared listening to the supervisor");
        ended = session.run().await;
    }

    let (cut, is_cut) = oneshot::channel();
    let (last, is_last) = oneshot::channel();
    let (mut cut, mut last, mut is_alone) = (Some(cut), Some(last), false);
    {
        let drained = drain(&shards, is_last, is_cut);
        pin!(drained);
        loop {
            match ended {
                SessionEnd::Drain | SessionEnd::Late => {}
                SessionEnd::Last => drop(last.take()),
                SessionEnd::Cut => drop(cut.take()),
                SessionEnd::Nobody => {
                    tracing::error!("the supervisor is gone: draining");
                    is_alone = true;
                    drop(last.take());
                }
            }
            tokio::select! {
                () = &mut drained => break,
                more = session.run(), if !is_alone => ended = more,
            }
        }
    }
    let outcome = Outcome::of(shards.shut_down().await);
    session.finish(outcome).await;
    Ok(outcome)
}

/// Lets connections finish, until all are gone and no more can come, or the deadline `timeouts.drain`
/// passes, or `cut` ends it.
async fn drain(
    shards: &ShardPool,
    last: oneshot::Receiver<Infallible>,
    cut: oneshot::Receiver<Infallible>,
) {
    let timeouts = shards.state().config.borrow().effective.settings.timeouts.clone();
    let in_order = async {
        shards.drain_connections(&timeouts).await;
        let _ = last.await;
        shards.all_closed().await;
    };
    tokio::select! {
        () = in_order => {}
        () = sleep(timeouts.drain) => {
            tracing::warn!(deadline = ?timeouts.drain, "drain deadline passed");
        }
        _ = cut => {}
    }
}
