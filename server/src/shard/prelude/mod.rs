//! What happens on a connection before its first frame: a PROXY header, a TLS handshake.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the steps of a listener, and what a step is |
//! | `by_listener.rs` | which steps which listener has |
//! | `task.rs` | the task that takes the steps of one connection |
//! | `proxy.rs` | the PROXY header |
//! | `linger.rs` | the close of a connection that is refused |
//!
//! A connection of a listener without steps never comes here. One that has steps is counted as open, is listed in
//! the state `handshake`, and holds its slot; it has until `timeouts.handshake`. Its service is made when the last
//! step is taken, because only then everything is known of its peer.

mod by_listener;
mod linger;
mod proxy;
mod task;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use towline_middleware::stats::CloseReason;

pub(crate) use self::{
    by_listener::StepsByListener,
    task::{Outcome, Prelude},
};
use super::{AnySocket, Established, Peer};
use crate::counts::Handshakes;

/// A future that a step returns.
pub(crate) type Taking<'a> =
    std::pin::Pin<Box<dyn Future<Output = Result<(Established, Peer), Refusal>> + Send + 'a>>;

/// One thing that happens before the first frame.
pub(crate) trait Step: fmt::Debug + Send + Sync {
    /// Takes the step on a connection, and returns what it is served on and what is known of its peer.
    ///
    /// The future is dropped at the deadline, at a drain and at a cut.
    fn take(&self, socket: AnySocket, peer: Peer) -> Taking<'_>;

    /// What a client that ran into the deadline failed to do, for the log: `no TLS handshake`.
    fn missing(&self) -> &'static str;

    /// Where it is counted how the step ended, if it is.
    fn counts_in<'a>(&self, _: &'a Handshakes) -> Option<&'a Handshakes> {
        None
    }
}

/// A connection that a step refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the close is counted as.
    pub(crate) reason: CloseReason,
    /// What the log says about it, in a few words.
    pub(crate) detail: String,
    /// The socket, to be closed in order so that the peer can read what it was sent; `None` if there is no use in
    /// that.
    pub(crate) socket: Option<AnySocket>,
}

/// The steps of the connections of one listener, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    /// At least one.
    pub(crate) steps: Vec<Arc<dyn Step>>,
    /// Time for all of them.
    pub(crate) deadline: Duration,
    /// Time that a refused client has to close its side.
    pub(crate) linger: Duration,
}
