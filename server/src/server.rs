//! A server with threads of its own: built, started, drained.

use std::{io, net::SocketAddr, sync::Arc, thread};

use socket2::Socket;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use towline_config::{Difference, Effective, Settings};
use towline_middleware::{
    drain::{Signal, channel},
    stats::Stats,
};

use crate::{
    Outcome, RunError,
    accept::Acceptor,
    admin,
    control::{Control, Reloads},
    ending,
    exporter::Reader,
    gate::Gate,
    host,
    lifecycle::{Life, Stage},
    listen::{Address, Listener},
    notify,
    overload::{Relief, relieve},
    permits::Permits,
    reload::{self, Source},
    shard::{Peer, Shard},
    shared::{Now, Shared},
    signals,
    slots::Slots,
    stack::{LineService, Parts},
    threads,
    to_shards::ToShards,
};

/// A server whose threads run.
///
/// Dropping it cuts every connection and ends them, without waiting; [`drain`](Self::drain) lets
/// connections finish first.
#[derive(Debug)]
#[must_use = "dropping it ends the server"]
pub struct Running {
    shared: Arc<Shared>,
    address: Address,
    admin: Option<SocketAddr>,
    stop_accepting: watch::Sender<bool>,
    listener_failed: oneshot::Receiver<io::Error>,
    drains: Vec<Signal>,
    over: watch::Sender<bool>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Binds, starts every thread, and returns once connections are accepted.
///
/// Listens on the socket that was `passed`, else on `server.listen`. `lines` is asked once a shard
/// for what makes the line stack of each peer there.
pub(crate) fn start<P, S>(
    effective: Effective,
    passed: Option<Socket>,
    lines: impl Fn(&Parts) -> P,
) -> Result<Running, RunError>
where
    P: Fn(Peer) -> S + Send + 'static,
    S: LineService,
{
    let effective = Arc::new(effective);
    let settings = &effective.settings;
    let shards = match settings.server.threads {
        Some(threads) => threads.get() as usize,
        None => thread::available_parallelism().map_or(1, Into::into),
    };
    let limit = host::connection_limit(settings.limits.connections.map(Into::into), shards, 0)?;
    let listener = match passed {
        Some(socket) => Listener::passed(socket, settings)?,
        None => Listener::bind(settings)?,
    };
    let address = listener.address().clone();
    let admin = settings.server.admin.map(admin::Socket::bind).transpose()?;

    let epoch = Instant::now();
    let slots = Slots::new(limit, shards);
    let permits = Permits::new(settings.limits.concurrency.get() as usize);
    let (now, now_seen) =
        watch::channel(Now { effective: effective.clone(), relief: Relief::NONE });
    let (over, _) = watch::channel(false);
    let mut drains = Vec::new();
    let mut stats = Vec::new();
    let mut started = Vec::new();
    for index in 0..shards {
        let (signal, watch) = channel();
        let shard_stats = Arc::new(Stats::of_one_thread(epoch));
        let parts = Parts::new(settings, shard_stats.clone(), permits.semaphore(), watch);
        let lines = lines(&parts);
        let shard =
            Shard::start(index, now.subscribe(), signal.clone(), parts, lines, over.subscribe())
                .map_err(|error| RunError::failed("a shard's thread cannot be started", &error))?;
        drains.push(signal);
        stats.push(shard_stats);
        started.push(shard);
    }

    let shared = Arc::new(Shared {
        now,
        reloads: Reloads::default(),
        life: Life::new(),
        stats,
        runtimes: started.iter().map(|shard| shard.runtime.clone()).collect(),
        slots: slots.clone(),
        permits,
        buffer_limit_bytes: host::buffer_limit(settings.limits.buffer_bytes).into(),
        accept: Arc::default(),
        port: match &address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        },
    });

    let mut threads = Vec::new();
    let handovers: Vec<_> = started
        .into_iter()
        .map(|shard| {
            threads.push(shard.thread);
            shard.handovers
        })
        .collect();
    let (stop_accepting, mut stop) = watch::channel(false);
    let (listener_fails, listener_failed) = oneshot::channel();
    let acceptor = Acceptor {
        listener,
        gate: Gate::new(slots, &settings.limits),
        now: now_seen,
        stats: shared.accept.clone(),
        deliver: ToShards::new(handovers),
    };
    let mut ending = over.subscribe();
    let pressure = relieve(shared.clone());
    threads.push(threads::run("acceptor", async move {
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        // This thread has the least to do, and is there whatever is turned off.
        tokio::spawn(pressure);
        let ended = tokio::select! {
            ended = acceptor.run(stopped) => ended,
            _ = ending.wait_for(|over| *over) => Ok(()),
        };
        if let Err(error) = ended {
            // Nobody listens any more when the server is ending anyway.
            let _ = listener_fails.send(error);
        }
    })?);

    let admin_address = admin.as_ref().map(admin::Socket::address);
    if let Some(socket) = admin {
        let subject = Reader::new(shared.clone());
        let mut over = over.subscribe();
        threads.push(threads::run("admin", async move {
            tokio::select! {
                () = admin::serve(socket, subject) => {}
                _ = over.wait_for(|over| *over) => {}
            }
        })?);
    }
    shared.life.set(Stage::Accepting);
    Ok(Running {
        shared,
        address,
        admin: admin_address,
        stop_accepting,
        listener_failed,
        drains,
        over,
        threads,
    })
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
        self.shared.slots.connections()
    }

    /// What changes this server while it runs.
    pub fn control(&self) -> Control {
        Control::new(self.shared.clone())
    }

    /// Takes over other settings; see [`Control::reload`].
    ///
    /// # Errors
    /// When the host does not allow what is asked. Nothing has changed then.
    pub fn reload(&self, settings: Settings) -> Result<Vec<Difference>, RunError> {
        self.control().reload(settings)
    }

    /// How many connections may be open.
    pub(crate) fn limit(&self) -> usize {
        self.shared.slots.limit()
    }

    /// The line for standard output.
    pub(crate) fn announcement(&self) -> String {
        match self.admin {
            Some(admin) => format!("listening on {} (admin {admin})", self.address),
            None => format!("listening on {} (admin off)", self.address),
        }
    }

    pub(crate) fn log_start(&self) {
        let Shared { now, slots, .. } = &*self.shared;
        let effective = now.borrow().effective.clone();
        let settings = &effective.settings;
        tracing::info!(
            address = %self.address,
            threads = slots.shards(),
            connections_limit = slots.limit(),
            workload = ?settings.workload.kind,
            framing = ?settings.workload.framing,
            flush = ?settings.flush.policy,
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
    pub(crate) fn run_until_signal(
        mut self,
        source: Option<&Arc<dyn Source>>,
        ready: impl FnOnce(&Self),
    ) -> Result<Outcome, RunError> {
        let runtime = threads::runtime()
            .map_err(|error| RunError::failed("the signal handler cannot be started", &error))?;
        let outcome = runtime.block_on(async {
            let handled = |error| RunError::failed("signals cannot be handled", &error);
            let mut stop = signals::Stop::new().map_err(handled)?;
            let mut hang_up = signals::HangUp::new().map_err(handled)?;
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
        let Self { shared, stop_accepting, listener_failed, drains, over, threads, .. } = self;
        let timeouts = shared.now.borrow().effective.settings.timeouts.clone();
        let in_order = async {
            ending::in_order(&shared, &timeouts, &stop_accepting, &drains).await;
            // Its sender goes with the acceptor, when nobody waits in the kernel's queue any more.
            let _ = listener_failed.await;
            shared.slots.all_free().await;
        };
        tokio::select! {
            () = in_order => {}
            () = tokio::time::sleep(timeouts.drain) => {
                tracing::warn!(deadline = ?timeouts.drain, "drain deadline passed");
            }
            () = cut => {}
        }
        let cut = ending::unfinished(&shared);
        over.send_replace(true);
        threads::end(&threads).await;
        if cut == 0 {
            tracing::info!("drained");
            Outcome::Clean
        } else {
            tracing::warn!(connections = cut, "connections cut");
            Outcome::Cut(cut)
        }
    }
}
