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
mod listener_set;
mod per_address;
mod rate;
mod reject;
mod reserve_fd;
mod retry;
mod slots;
mod stats;

use std::future::Future;

pub use self::{
    acceptor::Acceptor,
    admission::AdmissionControl,
    fd::watch,
    listen::{Accepted, Address, Listener},
    per_address::PerAddress,
    slots::{ConnectionSlot, ConnectionSlots, ConnectionTag},
};
pub(crate) use self::{
    reserve_fd::{ReserveFd, lacks_descriptors},
    stats::AcceptStats,
};

/// A connection on its way from the acceptor to its shard.
#[derive(Debug)]
pub struct NewConnection {
    pub accepted: Accepted,
    pub slot: ConnectionSlot,
}

/// Where accepted connections go.
pub trait Dispatch {
    /// Waits until some shard can take a connection over at once. Nothing is accepted before.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether that shard can.
    fn has_room(&self, shard: usize) -> bool;

    /// Hands a connection to the shard that its slot is on.
    fn dispatch(&mut self, handover: NewConnection);
}
