//! Starts the connections of a shard.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::JoinHandle;
use towline_config::Framing;
use towline_middleware::{serve::Unserved, stats::CloseReason};

use super::{
    AnySocket, Established, Peer, ServeSocket,
    prelude::{Outcome, Prelude, Steps},
};
use crate::{
    accept::{ConnectionSlot, NewConnection},
    stack::StackParts,
};

/// What makes the line stack of a connection.
type MakeStack<S> = Box<dyn Fn(Peer) -> S + Send>;

/// A connection whose first frame may be read, with what is known of it.
#[derive(Debug)]
pub struct NewStream {
    pub(crate) established: Established,
    pub(crate) peer: Peer,
    /// Its entries in what the shard counts and lists, if it has any yet.
    pub(crate) opened: Option<Unserved>,
}

/// What the connections of a shard have in common when they start.
///
/// Shared by the tasks of connections whose first frame is not read yet. Its locks are taken on one thread but for
/// servers in a runtime of several threads, and never while anything waits.
pub(crate) struct ConnectionStarter<S> {
    parts: StackParts,
    framing: Framing,
    make: Mutex<MakeStack<S>>,
    serve: ServeSocket<S>,
    /// Takes the task of each connection.
    on_task: Box<dyn Fn(JoinHandle<()>) + Send + Sync>,
}

impl<S: 'static> ConnectionStarter<S> {
    /// Connections get the stack that `make` returns for their peer, and are served by `serve`.
    pub(crate) fn new(
        parts: StackParts,
        framing: Framing,
        make: impl Fn(Peer) -> S + Send + 'static,
        serve: ServeSocket<S>,
        on_task: impl Fn(JoinHandle<()>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (make, on_task) = (Mutex::new(Box::new(make) as _), Box::new(on_task));
        Arc::new(Self { parts, framing, make, serve, on_task })
    }

    /// Starts a connection: at once, or, if there are `steps`, when they are taken.
    pub(crate) fn start(self: &Arc<Self>, new: NewConnection, steps: Option<Arc<Steps>>) {
        let NewConnection { accepted, slot } = new;
        let peer = Peer::of(&accepted);
        let Some(steps) = steps else {
            return self
                .serve(slot, peer, None, || AnySocket::register(accepted).map(Established::Plain));
        };
        match AnySocket::register(accepted) {
            Ok(socket) => self.take_steps(steps, socket, peer, slot),
            Err(error) => self.cannot_register(&peer, None, &error),
        }
    }

    /// In a task of its own, which ends when that of the connection begins: it is larger.
    fn take_steps(
        self: &Arc<Self>,
        steps: Arc<Steps>,
        socket: AnySocket,
        peer: Peer,
        slot: ConnectionSlot,
    ) {
        let prelude = Prelude::new(self.parts.unserved(), slot, &socket, peer);
        let starter = self.clone();
        (self.on_task)(tokio::spawn(async move {
            if let Some(outcome) = prelude.run(steps, socket).await {
                let Outcome { established, peer, opened, slot } = outcome;
                starter.serve(slot, peer, Some(opened), || Ok(established));
            }
        }));
    }

    fn serve(
        &self,
        slot: ConnectionSlot,
        peer: Peer,
        opened: Option<Unserved>,
        socket: impl FnOnce() -> io::Result<Established>,
    ) {
        let make = self.make.lock().unwrap_or_else(PoisonError::into_inner);
        let made = panic::catch_unwind(AssertUnwindSafe(|| make(peer.clone())));
        drop(make);
        // A panic in there closes this connection alone: it would otherwise unwind the shard's own task and end
        // the shard.
        let Ok(stack) = made else {
            self.close(opened, CloseReason::ServicePanic);
            // The hook of the process has reported the panic.
            tracing::warn!(%peer, "connection closed: making its service panicked");
            return;
        };
        match socket() {
            Ok(established) => {
                let stream = NewStream { established, peer, opened };
                (self.on_task)((self.serve)(&self.parts, self.framing, stream, slot, stack));
            }
            Err(error) => self.cannot_register(&peer, opened, &error),
        }
    }

    /// epoll has no memory or no watches left. The client sees a close and can try again.
    fn cannot_register(&self, peer: &Peer, opened: Option<Unserved>, error: &io::Error) {
        self.close(opened, CloseReason::IoError);
        tracing::warn!(%peer, %error, "connection closed: it cannot be registered");
    }

    fn close(&self, opened: Option<Unserved>, reason: CloseReason) {
        opened.unwrap_or_else(|| self.parts.unserved()).close(reason);
    }
}
