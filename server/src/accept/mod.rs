//! From the listening socket to a shard: limits, accept(2), refusals.
//!
//! | file | holds |
//! |---|---|
//! | `listen.rs` | the listening socket and the options that connections inherit |
//! | `admission.rs` | the limits that a new connection meets, in their order |
//! | `slots.rs`, `rate.rs`, `per_address.rs` | those limits: connections, accepts per second, connections per address |
//! | `acceptor.rs` | the loop: a slot first, then a connection, then a shard |
//! | `retry.rs`, `error.rs`, `reserve_fd.rs` | what happens when accept fails |
//! | `reject.rs` | how a connection is refused so that the peer can read why |

mod acceptor;
mod admission;
mod error;
mod fd;
pub(crate) mod listen;
mod per_address;
mod queues;
mod rate;
mod reject;
mod reserve_fd;
mod retry;
mod slots;
mod stats;

use std::future::Future;

pub use self::{
    acceptor::Acceptor,
    admission::Gate,
    fd::watch,
    listen::{Accepted, Address, Listener},
    per_address::PerAddress,
    slots::{Mark, Slot, Slots},
};
pub(crate) use self::{
    reserve_fd::{Spare, lacks_descriptors},
    stats::AcceptStats,
};

/// A connection on its way from the acceptor to its shard.
#[derive(Debug)]
pub struct Handover {
    pub accepted: Accepted,
    pub slot: Slot,
}

/// Where accepted connections go.
pub trait Deliver {
    /// Waits until some shard can take a connection over at once. Nothing is accepted before.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether that shard can.
    fn has_room(&self, shard: usize) -> bool;

    /// Hands a connection to the shard that its slot is on.
    fn deliver(&mut self, handover: Handover);
}
