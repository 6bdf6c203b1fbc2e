//! Rates that connections have together.

use std::{fmt::Debug, time::Duration};

use crate::connections::PeerAddress;

/// Rates that connections have together, by the addresses of their peers.
///
/// The loop asks it for each batch before it is served. A batch that must wait is held, and its connection is not read
/// meanwhile, so TCP slows the peer down. [`Quotas::owe`](super::Quotas::owe) has the arithmetic.
pub trait Throttle: Debug + Send + Sync {
    /// Counts a batch of this many frames and bytes from `peer`, and returns how long it must wait.
    fn take(&self, peer: PeerAddress, frames: u32, bytes: u32) -> Duration;
}
