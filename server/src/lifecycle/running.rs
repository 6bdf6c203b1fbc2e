//! A running server of one process, until it is drained.

use std::{future::pending, io, net::SocketAddr, sync::Arc, thread};

use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};
use towline_config::{PendingRestart, Settings};

use super::{
    Control, Outcome, ServerState, announcement, drain,
    loader::ConfigLoader,
    log_start,
    reload::{self, ConfigSource},
    signals::{HangUpSignal, StopSignals},
};
#[cfg(feature = "systemd")]
use super::{notify, watchdog};
use crate::{
    RunError,
    accept::Address,
    shard::{ShardPool, threads},
};

/// A server whose threads run.
///
/// Dropping it cuts every connection and ends the threads, without waiting;
/// [`drain`](Self::drain) and [`shutdown`](Self::shutdown) let connections finish first.
#[derive(Debug)]
#[must_use = "dropping it ends the server"]
pub struct Running {
    pub(crate) state: Arc<ServerState>,
    pub(crate) shards: ShardPool,
    pub(crate) addresses: Vec<Address>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) stop_accepting: watch::Sender<bool>,
    pub(crate) listener_failed: oneshot::Receiver<io::Error>,
    /// Threads that serve no lines.
    pub(crate) threads: Vec<thread::JoinHandle<()>>,
}

impl Running {
    /// The first TCP address lines are served on, with the real port; `None` if all are UNIX sockets.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses().into_iter().next()
    }

    /// The TCP addresses lines are served on, with the real ports, in the order of `server.listen`.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let tcp = |address: &Address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        };
        self.addresses.iter().filter_map(tcp).collect()
    }

    /// The address metrics and health are served on, with the real port; `None` when it is off.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.state.slots.connections()
    }

    /// A handle that changes settings of this server while it runs.
    pub fn control(&self) -> Control {
        Control::new(self.state.clone(), self.shards.state().clone())
    }

    /// Applies other settings; see [`Control::reload`].
    ///
    /// # Errors
    /// When the host does not allow what the settings ask. Nothing has changed then.
    pub fn reload(&self, settings: Settings) -> Result<Vec<PendingRestart>, RunError> {
        self.control().reload(settings)
    }

    /// Drains: accepts no more, finishes the lines that were taken, and cuts at the deadline
    /// `timeouts.drain` the connections that are left. Blocks until then.
    ///
    /// # Errors
    /// When the calling thread runs or has entered a Tokio runtime, which it would block: await
    /// [`shutdown`](Self::shutdown) there. The server is cut then, as if it were dropped.
    pub fn drain(self) -> Result<Outcome, RunError> {
        refuse_in_runtime("Running::drain", "Running::shutdown().await")?;
        Ok(match threads::runtime() {
            Ok(runtime) => runtime.block_on(self.drain_unless(pending())),
            // No descriptor is left even for a timer: end without waiting.
            Err(_) => Outcome::of(self.connections() as u64),
        })
    }

    /// Drains as [`drain`](Self::drain) does, as a future for any runtime. Dropping it cuts the
    /// connections that are left.
    ///
    /// ```no_run
    /// # use std::{convert::Infallible, time::Duration};
    /// # use towline::{Lines, Outcome, RunError, Server, service_fn};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    /// let running = Server::builder().listen("localhost:9000").serve(echo).start()?;
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// if let Outcome::Cut(connections) = running.shutdown().await {
    ///     eprintln!("{connections} connections had to be cut");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn shutdown(self) -> Outcome {
        let open = self.connections() as u64;
        let (mut done, outcome) = oneshot::channel();
        let draining = async move {
            let outcome = self.drain_unless(done.closed()).await;
            let _ = done.send(outcome);
        };
        match threads::run("drain", draining) {
            Ok(_) => outcome.await.unwrap_or_else(|_| Outcome::of(open)),
            // No thread or descriptor is left for it: it was dropped, and with it the server.
            Err(_) => Outcome::of(open),
        }
    }

    /// As [`run_until_signal`](Self::run_until_signal), on a thread of its own.
    pub(crate) async fn wait_for_signal(self) -> Result<Outcome, RunError> {
        let (mut done, outcome) = oneshot::channel();
        threads::run("signals", async move {
            let outcome = tokio::select! {
                outcome = self.drain_after_signal(None, |_| {}) => outcome,
                () = done.closed() => return,
            };
            let _ = done.send(outcome);
        })?;
        let ended = || RunError::failed("the signal handler ended", &io::ErrorKind::Other.into());
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Serves until a signal to drain, then drains; a second signal cuts. At SIGHUP loads the
    /// settings again from `source`. Calls `ready` once signals are handled, so that a reader of its
    /// announcement may send one at once.
    #[doc(hidden)]
    pub fn run_until_signal(
        self,
        source: Option<&Arc<dyn ConfigSource>>,
        ready: impl FnOnce(&Self),
    ) -> Result<Outcome, RunError> {
        let runtime = threads::runtime()
            .map_err(|error| RunError::failed("the signal handler cannot be started", &error))?;
        let loader = source.map(|source| ConfigLoader::start(source.clone())).transpose()?;
        runtime.block_on(self.drain_after_signal(loader.map(Arc::new), ready))
    }

    async fn drain_after_signal(
        mut self,
        loader: Option<Arc<ConfigLoader>>,
        ready: impl FnOnce(&Self),
    ) -> Result<Outcome, RunError> {
        let handled = |error| RunError::failed("signals cannot be handled", &error);
        let mut stop = StopSignals::new().map_err(handled)?;
        let mut hang_up = HangUpSignal::new().map_err(handled)?;
        let control = self.control();
        #[cfg(feature = "systemd")]
        tokio::spawn({
            let shards = self.shards.state().clone();
            async move { watchdog::feed(|| shards.ticks()).await }
        });
        let state = self.state.clone();
        state.remote.obey(loader.clone());
        ready(&self);
        tokio::select! {
            name = stop.next() => {
                tracing::info!(signal = name, "draining");
                #[cfg(feature = "systemd")]
                notify::stopping(self.connections());
            }
            () = state.remote.drain_asked() => {
                tracing::info!(command = "drain", "draining");
                #[cfg(feature = "systemd")]
                notify::stopping(self.connections());
            }
            Ok(error) = &mut self.listener_failed => {
                return Err(RunError::failed("the listening socket failed", &error));
            }
            () = reload::reload_on_sighup(&mut hang_up, loader.as_deref(), &control) => {}
            () = reload_changed_files(loader.as_deref(), &control) => {}
        }
        let second = async {
            tokio::select! {
                name = stop.next() => {
                    tracing::warn!(signal = name, "second signal: ending at once");
                }
                () = reload::ignore_sighup(&mut hang_up) => {}
            }
        };
        Ok(self.drain_unless(second).await)
    }

    async fn drain_unless(self, cut: impl Future<Output = ()>) -> Outcome {
        let Self { state, shards, stop_accepting, mut listener_failed, threads, .. } = self;
        let timeouts = state.effective().settings.timeouts.clone();
        let mut queue_ended = false;
        let in_order = async {
            drain::stop_accepting(&state, &timeouts, &stop_accepting).await;
            shards.drain_connections(&timeouts).await;
            // Its sender goes with the acceptor, once the kernel's queue is empty.
            let _ = (&mut listener_failed).await;
            queue_ended = true;
            shards.all_closed().await;
        };
        tokio::select! {
            () = in_order => {}
            () = tokio::time::sleep(timeouts.drain) => {
                tracing::warn!(deadline = ?timeouts.drain, "drain deadline passed");
            }
            () = cut => {}
        }
        let reset = if queue_ended {
            0
        } else {
            drain::end_queue_before_cut(&state, &stop_accepting, listener_failed).await
        };
        let outcome = Outcome::of(shards.shut_down().await + reset);
        threads::end(&threads).await;
        outcome.log();
        outcome
    }

    /// Logs that the server accepts connections; see [`log_start`].
    #[doc(hidden)]
    pub fn log_start(&self, workload: Option<&Settings>) {
        log_start(&self.state.plan, &self.addresses, self.admin, workload);
    }

    /// The line for standard output.
    #[doc(hidden)]
    pub fn announcement(&self) -> String {
        announcement(&self.addresses, self.admin)
    }
}

#[cfg(feature = "tls")]
use super::tls_files::reload_changed_files;

/// There are no files.
#[cfg(not(feature = "tls"))]
async fn reload_changed_files(_: Option<&ConfigLoader>, _: &Control) {
    pending::<()>().await;
}

/// Whether the calling thread runs or has entered a Tokio runtime. Blocking it there panics in most
/// places, and Tokio does not say in which.
pub(crate) fn in_runtime() -> bool {
    Handle::try_current().is_ok()
}

/// An error where `call`, which blocks, would block a thread of a Tokio runtime.
pub(crate) fn refuse_in_runtime(call: &str, instead: &str) -> Result<(), RunError> {
    if in_runtime() {
        return Err(RunError::usage(format!(
            "{call} blocks its thread, which belongs to a Tokio runtime here: use {instead}, or \
             call it on a thread outside of the runtime"
        )));
    }
    Ok(())
}
