//! What a server serves, behind one type for all.

use towline_config::Effective;
#[cfg(feature = "test")]
use towline_config::Framing;

use super::{
    run_on::ServingFuture,
    start::{Parts, start_protocol},
};
#[cfg(feature = "test")]
use crate::shard::{ByteStream, Ended};
use crate::{
    RunError,
    lifecycle::Running,
    plan::ProcessPlan,
    serve::{InRuntime, serve_in_runtime},
    shard::{Peer, ServeBy},
    stack::StackParts,
};

/// A program, with the type of its services hidden.
pub(super) trait Program: Send {
    /// Starts every thread of its server.
    fn start(
        self: Box<Self>,
        effective: &Effective,
        plan: &ProcessPlan,
        parts: Parts,
    ) -> Result<Running, RunError>;

    /// Serves in tasks of the runtime that polls the future.
    fn run(self: Box<Self>, server: InRuntime) -> ServingFuture;

    /// What ends the lines of its protocol; empty if it has none.
    #[cfg(feature = "test")]
    fn end_of_line(&self) -> &'static [u8];

    /// What serves its connections over streams in memory.
    #[cfg(feature = "test")]
    fn stage(self: Box<Self>, stack: StackParts, framing: Framing) -> Result<Staged, RunError>;
}

/// A program that `make` makes the services of, once a shard and then for each peer.
pub(super) struct Services<F, S> {
    pub(super) per_shard: F,
    pub(super) serve: ServeBy<S>,
}

impl<F, M, S> Program for Services<F, S>
where
    F: Fn(&StackParts) -> M + Send + 'static,
    M: Fn(Peer) -> S + Send + 'static,
    S: 'static,
{
    fn start(
        self: Box<Self>,
        effective: &Effective,
        plan: &ProcessPlan,
        parts: Parts,
    ) -> Result<Running, RunError> {
        let Self { per_shard, serve } = *self;
        start_protocol(effective, plan, parts, per_shard, serve.socket)
    }

    fn run(self: Box<Self>, server: InRuntime) -> ServingFuture {
        let Self { per_shard, serve } = *self;
        Box::pin(serve_in_runtime(server, per_shard, serve.socket))
    }

    #[cfg(feature = "test")]
    fn end_of_line(&self) -> &'static [u8] {
        (self.serve.end_of_line)()
    }

    #[cfg(feature = "test")]
    fn stage(self: Box<Self>, stack: StackParts, framing: Framing) -> Result<Staged, RunError> {
        let make = (self.per_shard)(&stack);
        let serve = self.serve.stream;
        Ok(Staged {
            end_of_line: (self.serve.end_of_line)(),
            serve: Box::new(move |peer, stream| serve(&stack, framing, stream, make(peer))),
        })
    }
}

/// A program that cannot be served.
pub(super) struct Refused(pub(super) RunError);

impl Program for Refused {
    fn start(
        self: Box<Self>,
        _: &Effective,
        _: &ProcessPlan,
        _: Parts,
    ) -> Result<Running, RunError> {
        Err(self.0)
    }

    fn run(self: Box<Self>, _: InRuntime) -> ServingFuture {
        Box::pin(async { Err(self.0) })
    }

    #[cfg(feature = "test")]
    fn end_of_line(&self) -> &'static [u8] {
        b""
    }

    #[cfg(feature = "test")]
    fn stage(self: Box<Self>, _: StackParts, _: Framing) -> Result<Staged, RunError> {
        Err(self.0)
    }
}

/// What serves connections in memory with the stacks of a server.
#[cfg(feature = "test")]
pub(crate) struct Staged {
    /// What ends the lines of its protocol; empty if it has none.
    pub(crate) end_of_line: &'static [u8],
    pub(crate) serve: ServeStaged,
}

/// Serves the stream of a peer.
#[cfg(feature = "test")]
type ServeStaged = Box<dyn Fn(Peer, Box<dyn ByteStream>) -> Ended + Send>;
