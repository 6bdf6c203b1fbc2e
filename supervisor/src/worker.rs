//! A worker process: serves the connections that its supervisor sends.

use std::{
    convert::Infallible,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::{
    pin,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot, watch},
    time::sleep,
};
use towline::{
    Outcome, RunError,
    internal::{
        Hooks, LiveConfig, ProcessPlace, ProcessPlan, ShardDispatch, ShardPool, TlsChange,
        control::programmatic,
        run_overload_control, serve_lines,
        stack::{self, StackParts},
        threads,
    },
};
use towline_config::Settings;
use towline_host::{HostLimits, raise_descriptor_limit};

use crate::{
    channel::{self, Channel},
    control_session::{ControlSession, SessionContext, SessionEnd},
    inbox::WorkerInbox,
    material,
    message::{SupervisorMsg, ToWorker, WorkerMsg, WorkerPlace},
    watchdog::ControlWatchdog,
};

/// A worker process, started by the supervisor with a [`WorkerCommand`](crate::WorkerCommand). Its
/// standard input is one end of a socket pair with the supervisor.
#[derive(Debug)]
pub struct Worker {
    runtime: Runtime,
    channel: Channel,
    buffer: Box<[u8]>,
    settings: Settings,
    place: WorkerPlace,
    /// Certificates and keys, if there is TLS.
    material: Option<OwnedFd>,
}

impl Worker {
    /// Waits for the supervisor's first message, which has the settings. Blocks until then.
    ///
    /// # Errors
    /// When standard input is not a supervisor of this version.
    pub fn receive() -> Result<Self, RunError> {
        let failed = |why| RunError::failed("cannot talk to the supervisor", &why);
        let end = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let is_supervisor = matches!(sockopt::socket_domain(&end), Ok(AddressFamily::UNIX))
            && matches!(sockopt::socket_type(&end), Ok(SocketType::SEQPACKET));
        if !is_supervisor {
            return Err(RunError::usage(
                "a worker is started by `towline serve --processes`, which speaks to it on \
                 standard input: there is no supervisor",
            ));
        }
        let runtime = threads::runtime().map_err(failed)?;
        let mut buffer = channel::buffer();
        let (channel, settings, place, material) = runtime.block_on(async {
            let channel = Channel::new(end).map_err(failed)?;
            let first = channel.receive(&mut buffer).await.map_err(failed)?;
            let (message, material) = first.map_or((None, None), |first| {
                (ToWorker::decode(&buffer[..first.length]), first.socket)
            });
            match message {
                Some(ToWorker::Control(SupervisorMsg::Serve(text, place))) => match text.decode() {
                    Ok(settings) => Ok((channel, settings, place, material)),
                    Err(why) => {
                        // Fails only if the supervisor has ended.
                        let _ = channel.send(&WorkerMsg::Failed(why.clone()).encode()).await;
                        Err(RunError::usage(why))
                    }
                },
                _ => Err(failed(io::Error::other("it is another version of this program"))),
            }
        })?;
        Ok(Self { runtime, channel, buffer, settings, place, material })
    }

    /// The settings to serve with. Set up logging from them before [`serve`](Self::serve).
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reports to the supervisor that this process cannot serve, and why.
    pub fn refuse(self, why: &str) {
        let failed = WorkerMsg::Failed(why.to_owned()).encode();
        // Fails only if the supervisor has ended.
        let _ = self.runtime.block_on(self.channel.send(&failed));
    }

    /// Serves until the supervisor asks to stop or has ended, and drains then. Calls `applied` with the
    /// settings of each reload, for parts of the program outside the server, such as its log.
    ///
    /// # Errors
    /// When the server cannot start, which is also reported to the supervisor, and when the channel to
    /// the supervisor fails.
    pub fn serve(
        self,
        applied: impl Fn(&Settings) + Send + Sync + 'static,
    ) -> Result<Outcome, RunError> {
        let Self { runtime, channel, buffer, settings, place, material } = self;
        runtime.block_on(async {
            let stop_requested = Arc::new(Notify::new());
            install_signal_handlers(stop_requested.clone())
                .map_err(|why| RunError::failed("signals cannot be handled", &why))?;
            let (shards, dispatch) = match start(settings, place, material) {
                Ok(started) => started,
                Err(why) => {
                    // Fails only if the supervisor has ended.
                    let _ = channel.send(&WorkerMsg::Failed(why.to_string()).encode()).await;
                    return Err(why);
                }
            };
            let inbox = WorkerInbox::new(shards.state().slots.clone(), dispatch);
            let context =
                SessionContext::new(shards.state().clone(), stop_requested, Box::new(applied));
            let watchdog = Arc::<ControlWatchdog>::default();
            let session_ended = async {
                let watched = channel.duplicate_readable()?;
                let session =
                    ControlSession::new(channel, buffer, inbox, context, watchdog.clone());
                run_session(session, shards, watchdog.watch(watched)).await
            };
            session_ended
                .await
                .map_err(|why| RunError::failed("cannot talk to the supervisor", &why))
        })
    }
}

fn start(
    settings: Settings,
    WorkerPlace { index, restarts }: WorkerPlace,
    material: Option<OwnedFd>,
) -> Result<(ShardPool, ShardDispatch), RunError> {
    raise_descriptor_limit();
    let plan = ProcessPlan::of(&settings, HostLimits::read())?;
    let place = ProcessPlace { first_worker: index * plan.threads, restarts };
    let unreadable = |error| RunError::failed("certificates cannot be received", &error);
    let tls = match material {
        None if !settings.tls.cert.is_empty() => {
            return Err(unreadable(io::Error::other("no descriptor is left for them")));
        }
        None => None,
        Some(memory) => {
            let material = material::receive(memory).map_err(unreadable)?;
            Some(TlsChange::new(Arc::new(material), &settings.tls)?)
        }
    };
    let mut config = LiveConfig::first(programmatic(settings));
    config.tls = tls;
    let config = Arc::new(watch::channel(config).0);
    let per_shard = |parts: &StackParts| {
        let line_stack = stack::configured(parts);
        move |_peer| line_stack.clone()
    };
    ShardPool::start(&config, &plan, place, per_shard, serve_lines, &Hooks::default())
}

/// Ignores SIGINT, SIGQUIT and SIGHUP: a terminal sends them to every process of its group, and the
/// supervisor answers them for the whole server. SIGTERM, sent to this process alone, makes the worker
/// ask the supervisor to be drained and replaced.
fn install_signal_handlers(stop_requested: Arc<Notify>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    for ignored in [SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()] {
        let _ = signal(ignored)?;
    }
    tokio::spawn(async move {
        while terminate.recv().await.is_some() {
            stop_requested.notify_one();
        }
    });
    Ok(())
}

/// Runs the control session on a shard's thread, or on this thread once its messages are overdue there.
/// When the session ends, drains the shards.
async fn run_session(
    session: ControlSession,
    shards: ShardPool,
    watching: impl Future<Output = ()>,
) -> io::Result<Outcome> {
    tokio::spawn(run_overload_control(shards.state().clone()));
    // On a shard's thread, where receiving a connection wakes no other thread.
    let shard = shards.state().runtimes[0].clone();
    let on_shard = shard.spawn(async move {
        let mut session = session.reregister()?;
        session.send(&WorkerMsg::Ready).await;
        let end = session.run().await;
        io::Result::Ok((session, end))
    });
    let ended = async {
        pin!(on_shard, watching);
        tokio::select! {
            ended = &mut on_shard => ended,
            () = watching => on_shard.await,
        }
    };
    let (session, mut end) = ended.await.map_err(io::Error::other)??;
    // From here on this thread: the shards end before the last message is sent.
    let mut session = session.reregister()?;
    if end == SessionEnd::Overdue {
        tracing::debug!(
            "a busy shard read messages of the supervisor too late: another thread does"
        );
        end = session.run().await;
    }

    let (cut, is_cut) = oneshot::channel();
    let (last, is_last) = oneshot::channel();
    let (mut cut, mut last, mut supervisor_gone) = (Some(cut), Some(last), false);
    {
        let drained = drain(&shards, is_last, is_cut);
        pin!(drained);
        loop {
            match end {
                SessionEnd::Drain | SessionEnd::Overdue => {}
                SessionEnd::NoMoreConnections => drop(last.take()),
                SessionEnd::Cut => drop(cut.take()),
                SessionEnd::SupervisorGone => {
                    tracing::error!("the supervisor is gone: draining");
                    supervisor_gone = true;
                    drop(last.take());
                }
            }
            tokio::select! {
                () = &mut drained => break,
                next = session.run(), if !supervisor_gone => end = next,
            }
        }
    }
    let outcome = Outcome::of(shards.shut_down().await);
    session.finish(outcome).await;
    Ok(outcome)
}

/// Drains connections until all are closed and none can follow (`last` is dropped), until the deadline
/// `timeouts.drain`, or until `cut` is dropped.
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
