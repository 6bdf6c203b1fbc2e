//! Starting the threads of a server.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use towline_config::Effective;

#[cfg(feature = "tls")]
use crate::{Control, lifecycle::tls_files::reload_files_of_program, tls::FileStamps};
use crate::{
    Peer, RunError,
    accept::{Acceptor, AdmissionControl, Listener, RejectionWords},
    admin::{self, UserMetrics},
    counts::ProcessPlace,
    hooks::Hooks,
    lifecycle::{Running, ServerState, Stage},
    live_config::LiveConfig,
    overload::{run_overload_control, watch_connection_limit},
    plan::{ProcessPlan, ProtocolRules},
    shard::{ServeSocket, ShardPool, serve_lines, threads},
    stack::{FrameService, StackParts},
};

/// What a server is started with, beside its settings.
#[derive(Debug)]
pub struct Parts {
    /// The listening sockets.
    pub listeners: Vec<Listener>,
    /// Metrics of the program that the server is part of.
    pub user_metrics: Option<UserMetrics>,
    pub(crate) hooks: Hooks,
    pub(crate) protocol: ProtocolRules,
}

impl Parts {
    /// Those of a server of lines on `listeners`.
    pub fn new(listeners: Vec<Listener>) -> Self {
        let (hooks, protocol) = (Hooks::default(), ProtocolRules::LINES);
        Self { listeners, user_metrics: None, hooks, protocol }
    }
}

/// Starts every thread of a server of lines, and returns once connections are accepted.
///
/// Calls `lines` once per shard; what it returns makes the line stack of each connection there.
pub fn start<M, S>(
    effective: &Effective,
    plan: &ProcessPlan,
    parts: Parts,
    lines: impl Fn(&StackParts) -> M,
) -> Result<Running, RunError>
where
    M: Fn(Peer) -> S + Send + 'static,
    S: FrameService,
{
    start_protocol(effective, plan, parts, lines, serve_lines)
}

/// As [`start`], for any protocol, whose sockets are served by `serve`.
pub(super) fn start_protocol<M, S>(
    effective: &Effective,
    plan: &ProcessPlan,
    parts: Parts,
    per_shard: impl Fn(&StackParts) -> M,
    serve: ServeSocket<S>,
) -> Result<Running, RunError>
where
    M: Fn(Peer) -> S + Send + 'static,
    S: 'static,
{
    let Parts { listeners, user_metrics, hooks, protocol } = parts;
    let settings = &effective.settings;
    // Before they are read: what changes meanwhile has changed.
    #[cfg(feature = "tls")]
    let files = hooks.watches_tls.then(|| FileStamps::of(&settings.tls));
    let config = Arc::new(watch::channel(LiveConfig::with_tls(effective.clone(), &hooks)?).0);
    let admin = admin::Sockets::bind(settings)?;
    let (shards, dispatch) =
        ShardPool::start(&config, plan, ProcessPlace::default(), per_shard, serve, &hooks)?;
    let slots = shards.state().slots.clone();
    let mut state = ServerState::new(*plan, config.clone(), &listeners, slots.clone());
    state.protocol = protocol;
    let state = Arc::new(state);

    let (stop_accepting, mut stop) = watch::channel(false);
    let (listener_fails, listener_failed) = oneshot::channel();
    let acceptor = Acceptor {
        listeners,
        admission: AdmissionControl::new(slots, settings),
        config: config.subscribe(),
        stats: state.accept.clone(),
        words: RejectionWords::said_by(protocol.notice),
        dispatch,
    };
    let ending = shards.until_cut();
    let pressure = run_overload_control(shards.state().clone());
    let watched = state.clone();
    #[cfg(feature = "tls")]
    let files = files
        .map(|seen| {
            reload_files_of_program(Control::new(state.clone(), shards.state().clone()), seen)
        })
        .transpose()?;
    let accepts = threads::run("acceptor", async move {
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        // This thread has the least to do, and runs whatever is turned off.
        tokio::spawn(pressure);
        tokio::spawn(async move { watch_connection_limit(&watched).await });
        #[cfg(feature = "tls")]
        files.map(tokio::spawn);
        let ended = tokio::select! {
            ended = acceptor.run(stopped) => ended,
            () = ending => Ok(()),
        };
        if let Err(error) = ended {
            // The receiver is gone when the server is ending anyway.
            let _ = listener_fails.send(error);
        }
    })?;
    let mut threads = vec![accepts];

    let admin_address = admin.as_ref().and_then(admin::Sockets::address);
    if let Some(sockets) = admin {
        threads.push(sockets.serve(state.clone(), &shards, user_metrics)?);
    }
    state.lifecycle.set(Stage::Accepting);
    let (addresses, admin) = (state.addresses.clone(), admin_address);
    Ok(Running { state, shards, addresses, admin, stop_accepting, listener_failed, threads })
}
