//! A shard: one thread, one current-thread runtime, and connections that never move.

use std::{
    io,
    os::fd::OwnedFd,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
};

use tokio::{
    net::{TcpStream, UnixStream},
    runtime,
    sync::{mpsc, watch},
};
use towline_config::Framing;
use towline_middleware::{
    LineLimits, LinesBatchCodec, Utf8LinesCodec, drain::Signal, fairness, stats::CloseReason,
    thread_context,
};

use super::{Peer, connection::serve_io};
use crate::{
    accept::{ConnectionSlot, NewConnection, listen},
    live_config::LiveConfig,
    stack::{LineService, LinesCodec, StackParts},
};

/// Connections that may wait for a shard to take them over.
const HANDOVERS_MAX: usize = 1024;

/// Turns of connections between two looks at who else is ready. A turn of a line takes 3 µs, so nobody
/// waits half a millisecond longer than he must; with tokio's 61 each look costs a line twice as much.
const TURNS_PER_LOOK: u32 = 128;

/// Connections a shard takes over before those it has get their turn again. A takeover takes some 15 µs,
/// so they wait a millisecond for it.
const HANDOVERS_PER_TURN: usize = 64;

/// A shard's thread, and what is needed to feed, watch and end it.
#[derive(Debug)]
pub(super) struct Shard {
    pub handovers: mpsc::Sender<NewConnection>,
    pub runtime: runtime::Handle,
    pub thread: thread::JoinHandle<()>,
}

impl Shard {
    /// Starts a shard that serves each connection with the line stack that `lines` makes for its
    /// peer, until `over` says that what is left should be cut.
    pub(super) fn start<P, S>(
        index: usize,
        mut config: watch::Receiver<LiveConfig>,
        signal: Signal,
        parts: StackParts,
        lines: P,
        mut over: watch::Receiver<bool>,
    ) -> io::Result<Self>
    where
        P: Fn(Peer) -> S + Send + 'static,
        S: LineService,
    {
        let (handovers, mut inbox) = mpsc::channel(HANDOVERS_MAX);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TURNS_PER_LOOK)
            .on_thread_park(thread_context::invalidate_clock)
            .build()?;
        let handle = runtime.handle().clone();
        let framing = config.borrow().effective.settings.workload.framing;
        let shard = async move {
            tokio::spawn(fairness::run_yield_queue());
            tokio::spawn(fairness::run_close_pacer());
            tokio::spawn(parts.run_watchdog());
            let mut arrived = Vec::with_capacity(HANDOVERS_PER_TURN);
            loop {
                tokio::select! {
                    biased;
                    () = is_over(&mut over) => return,
                    // Before new connections: one that comes after a change begins under it.
                    Ok(()) = config.changed() => {
                        if parts.apply(&config.borrow_and_update()) {
                            tokio::spawn(wake_all(signal.clone()));
                        }
                        continue;
                    }
                    n = inbox.recv_many(&mut arrived, HANDOVERS_PER_TURN) => if n == 0 {
                        // The acceptor is gone: there are no more, but those there are go on.
                        return is_over(&mut over).await;
                    },
                }
                for NewConnection { accepted, slot } in arrived.drain(..) {
                    let peer = Peer::new(accepted.peer);
                    let Some(lines) = unless_it_panics(&parts, || lines(peer)) else { continue };
                    match framing {
                        Framing::Lines => {
                            let codec = Utf8LinesCodec::shared;
                            serve_socket(&parts, codec, accepted.socket, slot, lines);
                        }
                        _ => {
                            let codec = LinesBatchCodec::shared;
                            serve_socket(&parts, codec, accepted.socket, slot, lines);
                        }
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        let thread = thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            thread_context::share_clock_between_tasks();
            runtime.block_on(shard);
        })?;
        Ok(Self { handovers, runtime: handle, thread })
    }
}

/// Makes a connection's service. A panic in there is the connection's end, and nobody else's: it
/// runs on the shard's own task, so unwinding further would end the shard.
fn unless_it_panics<S>(parts: &StackParts, make: impl FnOnce() -> S) -> Option<S> {
    let made = panic::catch_unwind(AssertUnwindSafe(make));
    if made.is_err() {
        parts.connection_stats().close(CloseReason::ServicePanic);
    }
    made.ok()
}

fn serve_socket<C, S>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    socket: OwnedFd,
    slot: ConnectionSlot,
    lines: S,
) where
    C: LinesCodec,
    S: LineService,
{
    if listen::is_unix(&socket) {
        let socket = std::os::unix::net::UnixStream::from(socket);
        serve_io(parts, codec, UnixStream::from_std(socket), slot, lines);
    } else {
        let socket = std::net::TcpStream::from(socket);
        serve_io(parts, codec, TcpStream::from_std(socket), slot, lines);
    }
}

/// Has every parked connection look at its deadlines again, while others run in between.
async fn wake_all(signal: Signal) {
    let mut next = Some(0);
    while let Some(from) = next {
        next = signal.wake_from(from);
        tokio::task::yield_now().await;
    }
}

/// Waits until what is left should be cut.
async fn is_over(over: &mut watch::Receiver<bool>) {
    let _ = over.wait_for(|over| *over).await;
}
