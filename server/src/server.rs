//! A server with threads of its own: built, started, drained.

use std::{io, net::SocketAddr, sync::Arc, thread};

use socket2::Socket;
use tokio::sync::{oneshot, watch};
use towline_config::{Effective, PendingRestart, Settings};

use crate::{
    Outcome, RunError,
    accept::{Acceptor, Address, AdmissionControl, Listener},
    admin,
    counts::Snapshot,
    exporter::CountsReader,
    lifecycle::{
        Control, ServerState, Stage, drain, notify,
        reload::{self, ConfigSource},
        signals,
    },
    live_config::LiveConfig,
    overload::run_overload_control,
    plan::Plan,
    shard::{Peer, ShardPool, threads},
    stack::{LineService, StackParts},
};

/// A server whose threads run.
///
/// Dropping it cuts every connection and ends them, without waiting; [`drain`](Self::drain) lets
/// connections finish first.
#[derive(Debug)]
#[must_use = "dropping it ends the server"]
pub struct Running {
    state: Arc<ServerState>,
    shards: ShardPool,
    address: Address,
    admin: Option<SocketAddr>,
    stop_accepting: watch::Sender<bool>,
    listener_failed: oneshot::Receiver<io::Error>,
    /// Those that serve no lines.
    threads: Vec<thread::JoinHandle<()>>,
}

/// A server that is this process alone.
#[derive(Debug)]
struct SingleProcess {
    state: Arc<ServerState>,
    reader: CountsReader,
}

impl admin::StatusSource for SingleProcess {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.reader.read();
        self.state.add_to(&mut snapshot);
        snapshot
    }
}

/// Binds, starts every thread, and returns once connections are accepted.
///
/// Listens on the socket that was `passed`, else on `server.listen`. `lines` is asked once a shard
/// for what makes the line stack of each peer there.
pub fn start<P, S>(
    effective: &Effective,
    plan: &Plan,
    passed: Option<Socket>,
    lines: impl Fn(&StackParts) -> P,
) -> Result<Running, RunError>
where
    P: Fn(Peer) -> S + Send + 'static,
    S: LineService,
{
    let config = Arc::new(watch::channel(LiveConfig::first(effective.clone())).0);
    let settings = &effective.settings;
    let listeners = Listener::open(settings, passed, 1)?;
    let address = listeners[0].address().clone();
    let admin = settings.server.admin.map(admin::Socket::bind).transpose()?;
    let (shards, dispatch) = ShardPool::start(&config, plan, lines)?;
    let slots = shards.state().slots.clone();
    let state = Arc::new(ServerState::new(*plan, config.clone(), &address, slots.clone()));

    let (stop_accepting, mut stop) = watch::channel(false);
    let (listener_fails, listener_failed) = oneshot::channel();
    let acceptor = Acceptor {
        listeners,
        admission: AdmissionControl::new(slots, &settings.limits),
        config: config.subscribe(),
        stats: state.accept.clone(),
        dispatch,
    };
    let ending = shards.until_cut();
    let pressure = run_overload_control(shards.state().clone());
    let accepts = threads::run("acceptor", async move {
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        // This thread has the least to do, and is there whatever is turned off.
        tokio::spawn(pressure);
        let ended = tokio::select! {
            ended = acceptor.run(stopped) => ended,
            () = ending => Ok(()),
        };
        if let Err(error) = ended {
            // Nobody listens any more when the server is ending anyway.
            let _ = listener_fails.send(error);
        }
    })?;
    let mut threads = vec![accepts];

    let admin_address = admin.as_ref().map(admin::Socket::address);
    if let Some(socket) = admin {
        let source = SingleProcess {
            state: state.clone(),
            reader: CountsReader::new(shards.state().clone()),
        };
        let over = shards.until_cut();
        threads.push(admin::start(socket, source, over)?);
    }
    state.lifecycle.set(Stage::Accepting);
    let admin = admin_address;
    Ok(Running { state, shards, address, admin, stop_accepting, listener_failed, threads })
}

impl Running {
    /// The address lines are served on, with the real port; `None` on a UNIX socket.
    pub const fn address(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The address metrics and health are served on, with the real port.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.state.slots.connections()
    }

    /// What changes this server while it runs.
    pub fn control(&self) -> Control {
        Control::new(self.state.clone(), self.shards.state().clone())
    }

    /// Takes over other settings; see [`Control::reload`].
    ///
    /// # Errors
    /// When the host does not allow what is asked. Nothing has changed then.
    pub fn reload(&self, settings: Settings) -> Result<Vec<PendingRestart>, RunError> {
        self.control().reload(settings)
    }

    /// The line for standard output.
    #[doc(hidden)]
    pub fn announcement(&self) -> String {
        announcement(&self.address, self.admin)
    }

    #[doc(hidden)]
    pub fn log_start(&self) {
        let ServerState { config, slots, .. } = &*self.state;
        let effective = config.borrow().effective.clone();
        let settings = &effective.settings;
        tracing::info!(
            address = %self.address,
            threads = slots.shards(),
            connections_limit = slots.limit(),
            workload = %settings.workload.kind,
            framing = %settings.workload.framing,
            flush = %settings.flush.policy,
            "serving"
        );
    }

    /// Drains: accepts no more, finishes what was taken, and cuts what is left at the deadline
    /// `timeouts.drain`. Blocks until then.
    pub fn drain(self) -> Outcome {
        match threads::runtime() {
            Ok(runtime) => runtime.block_on(self.drain_unless(std::future::pending())),
            // No descriptor left even for a timer: end without waiting.
            Err(_) => Outcome::Cut(self.connections() as u64),
        }
    }

    /// Serves until a signal says to drain, then drains; a second signal cuts. SIGHUP loads the
    /// settings again from `source`. Calls `ready` once signals are handled: whoever reads its
    /// announcement may send one at once.
    #[doc(hidden)]
    pub fn run_until_signal(
        mut self,
        source: Option<&Arc<dyn ConfigSource>>,
        ready: impl FnOnce(&Self),
    ) -> Result<Outcome, RunError> {
        let runtime = threads::runtime()
            .map_err(|error| RunError::failed("the signal handler cannot be started", &error))?;
        let outcome = runtime.block_on(async {
            let handled = |error| RunError::failed("signals cannot be handled", &error);
            let mut stop = signals::StopSignals::new().map_err(handled)?;
            let mut hang_up = signals::HangUpSignal::new().map_err(handled)?;
            let control = self.control();
            ready(&self);
            tokio::select! {
                name = stop.next() => {
                    tracing::info!(signal = name, "draining");
                    notify::stopping(self.connections());
                }
                Ok(error) = &mut self.listener_failed => {
                    return Err(RunError::failed("the listening socket failed", &error));
                }
                () = reload::on_hang_up(&mut hang_up, source, &control) => {}
            }
            let second = async {
                tokio::select! {
                    name = stop.next() => {
                        tracing::warn!(signal = name, "second signal: ending at once");
                    }
                    () = reload::ignoring(&mut hang_up) => {}
                }
            };
            Ok(self.drain_unless(second).await)
        });
        // Not by dropping it, which waits for a configuration file that may never answer.
        runtime.shutdown_background();
        outcome
    }

    async fn drain_unless(self, cut: impl Future<Output = ()>) -> Outcome {
        let Self { state, shards, stop_accepting, listener_failed, threads, .. } = self;
        let timeouts = state.effective().settings.timeouts.clone();
        let in_order = async {
            drain::stop_accepting_in_order(&state, &timeouts, &stop_accepting).await;
            shards.drain_connections(&timeouts).await;
            // Its sender goes with the acceptor, when nobody waits in the kernel's queue any more.
            let _ = listener_failed.await;
            shards.all_closed().await;
        };
        tokio::select! {
            () = in_order => {}
            () = tokio::time::sleep(timeouts.drain) => {
                tracing::warn!(deadline = ?timeouts.drain, "drain deadline passed");
            }
            () = cut => {}
        }
        let outcome = Outcome::of(shards.shut_down().await);
        threads::end(&threads).await;
        outcome.log();
        outcome
    }
}

/// The line for standard output.
pub fn announcement(address: &Address, admin: Option<SocketAddr>) -> String {
    match admin {
        Some(admin) => format!("listening on {address} (admin {admin})"),
        None => format!("listening on {address} (admin off)"),
    }
}
