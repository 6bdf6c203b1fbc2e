//! A shard: one thread, one current-thread runtime, and connections that never move.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime,
    sync::{mpsc, watch},
};
use towline_config::ReceiveBuffer;
use towline_middleware::{
    drain::Signal,
    internal::{invalidate_clock, run_close_pacer, run_yield_queue, share_clock_between_tasks},
};

use super::{
    ConnectionStarter, Peer, ServeSocket,
    age::end_old_connections,
    prelude::StepsByListener,
    receive_buffer,
    scheduling_probe::{OneShard, SchedulingProbe},
    threads,
    write_now::write_now,
};
use crate::{accept::NewConnection, live_config::LiveConfig, stack::StackParts};

/// New connections that may wait in a shard's queue.
const NEW_CONNECTIONS_MAX: usize = 1024;

/// Task polls between two checks for I/O events. A poll that serves one line takes 3 µs, so an event
/// waits less than half a millisecond longer. With Tokio's default of 61 the checks would cost each
/// line twice as much.
const POLLS_PER_EVENT_CHECK: u32 = 128;

/// New connections that a shard starts before it polls its other tasks. Starting one takes about
/// 15 µs, so other tasks wait about a millisecond.
const STARTS_PER_POLL: usize = 64;

/// A shard's thread, its queue of new connections, and its runtime.
#[derive(Debug)]
pub(super) struct Shard {
    pub new_connections: mpsc::Sender<NewConnection>,
    pub runtime: runtime::Handle,
    pub thread: thread::JoinHandle<()>,
}

impl Shard {
    /// Starts a shard that serves each connection with the line stack that `make_stack` returns for
    /// its peer, by `serve`, until `cut` becomes true.
    pub(super) fn start<M, S>(
        slots: OneShard,
        mut config: watch::Receiver<LiveConfig>,
        signal: Signal,
        parts: StackParts,
        make_stack: M,
        serve: ServeSocket<S>,
        mut cut: watch::Receiver<bool>,
    ) -> io::Result<Self>
    where
        M: Fn(Peer) -> S + Send + 'static,
        S: 'static,
    {
        let (new_connections, mut queue) = mpsc::channel::<NewConnection>(NEW_CONNECTIONS_MAX);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(POLLS_PER_EVENT_CHECK)
            .on_thread_park(invalidate_clock)
            .build()?;
        let handle = runtime.handle().clone();
        let name = format!("shard-{}", slots.shard);
        let framing = config.borrow().effective.settings.workload.framing;
        let event_loop = async move {
            if config.borrow().effective.settings.socket.receive_buffer == ReceiveBuffer::Auto {
                receive_buffer::follow_clients(parts.kernel_bytes(&config.borrow()));
            }
            let parts = parts.on_this_thread(&config.borrow());
            tokio::spawn(run_yield_queue());
            tokio::spawn(run_close_pacer());
            tokio::spawn(parts.run_watchdog());
            parts.write_pushes_now(write_now);
            tokio::spawn(parts.run_pushes());
            tokio::spawn(parts.timers(&signal).run());
            let (signal_of_age, stats) = (signal.clone(), parts.stats().clone());
            tokio::spawn(end_old_connections(signal_of_age, stats, config.clone()));
            let probe = start_probe(&parts, slots);
            // The shard's runtime ends the tasks.
            let starter = ConnectionStarter::new(parts.clone(), framing, make_stack, serve, drop);
            let mut steps = StepsByListener::new(&config.borrow(), 1);
            let mut arrived = Vec::with_capacity(STARTS_PER_POLL);
            loop {
                tokio::select! {
                    biased;
                    () = is_cut(&mut cut) => return,
                    // Before new connections: one that arrives after a change starts under it.
                    Ok(()) = config.changed() => {
                        let config = config.borrow_and_update();
                        steps.update(&config);
                        if parts.apply(&config) {
                            tokio::spawn(wake_all(signal.clone()));
                        }
                        continue;
                    }
                    n = queue.recv_many(&mut arrived, STARTS_PER_POLL) => if n == 0 {
                        // The acceptor has ended. No connection follows; those open go on.
                        return is_cut(&mut cut).await;
                    },
                }
                if let Some(probe) = &probe {
                    probe.start();
                }
                for connection in arrived.drain(..) {
                    let steps = steps.get(connection.accepted.listener);
                    starter.start(connection, steps);
                }
                tokio::task::yield_now().await;
            }
        };
        let thread = threads::run_on(&name, runtime, || {
            share_clock_between_tasks();
            event_loop
        })?;
        Ok(Self { new_connections, runtime: handle, thread })
    }
}

/// Starts the probe of the scheduling delay. Without it a shard serves as well.
fn start_probe(parts: &StackParts, slots: OneShard) -> Option<Arc<SchedulingProbe>> {
    let probe = SchedulingProbe::new(parts.stats().clone(), slots);
    let log = |error: &io::Error| tracing::warn!(%error, "the scheduling delay is not sampled");
    let probe = probe.inspect_err(log).ok()?;
    tokio::spawn(probe.clone().run());
    Some(probe)
}

/// Wakes every parked connection so that it computes its deadlines anew; yields between groups.
pub(crate) async fn wake_all(signal: Signal) {
    let mut next = Some(0);
    while let Some(from) = next {
        next = signal.wake_from(from);
        tokio::task::yield_now().await;
    }
}

/// Waits until remaining connections are cut.
async fn is_cut(cut: &mut watch::Receiver<bool>) {
    let _ = cut.wait_for(|cut| *cut).await;
}
