//! From the listening socket to a shard: limits, accept(2), rejections.
//!
//! | file | holds |
//! |---|---|
//! | `listen.rs` | listening sockets and the options that connections inherit |
//! | `open.rs` | the listeners of `server.listen` and of a service manager |
//! | `unix_socket.rs` | the file of a UNIX socket |
//! | `bound_listener.rs` | listening sockets that the caller bound |
//! | `admission.rs` | the limits that a new connection meets, in their order |
//! | `slots.rs`, `rate.rs`, `per_address.rs` | those limits: connections, accepts per second, connections per address |
//! | `listener_limits.rs` | connections of one listener |
//! | `client_limits.rs`, `access.rs` | which addresses may connect, and how often |
//! | `source_rates.rs` | how many lines and bytes they may send |
//! | `senders.rs` | whose PROXY headers are believed |
//! | `acceptor.rs`, `listener_set.rs` | the loop: a slot first, then a connection, then a shard |
//! | `retry.rs`, `error.rs`, `reserve_fd.rs` | what happens when accept fails |
//! | `accepted.rs` | an accepted connection before it is served |
//! | `reject.rs` | how a connection is rejected so that the client can read why |
//! | `stats.rs`, `fd.rs` | the acceptor's counts; registration of its descriptors |

mod accepted;
mod acceptor;
mod access;
mod admission;
mod bound_listener;
mod client_limits;
mod error;
mod fd;
pub(crate) mod listen;
mod listener_limits;
mod listener_set;
mod open;
mod per_address;
mod rate;
mod reject;
mod reserve_fd;
mod retry;
mod senders;
mod slots;
mod source_rates;
mod stats;
mod unix_socket;

use std::future::Future;

#[cfg(feature = "admin")]
pub(crate) use self::reserve_fd::{ReserveFd, lacks_descriptors};
#[cfg(feature = "admin")]
pub use self::unix_socket::SocketFile;
#[cfg(feature = "admin")]
pub(crate) use self::unix_socket::owner_only_socket;
pub use self::{
    accepted::Accepted,
    acceptor::Acceptor,
    admission::AdmissionControl,
    bound_listener::{BoundListener, configure_listener},
    fd::register,
    listen::{Address, Listener, addresses},
    open::PassedSocket,
    per_address::PerAddress,
    reject::RejectionWords,
    slots::{ConnectionSlot, ConnectionSlots, ConnectionTag},
};
pub(crate) use self::{
    accepted::is_unix, listen::shown, senders::ProxySenders, stats::AcceptStats,
};

/// A connection on its way from the acceptor to its shard.
#[derive(Debug)]
pub struct NewConnection {
    /// The connected socket and its peer.
    pub accepted: Accepted,
    /// Its slot, which names the shard.
    pub slot: ConnectionSlot,
}

/// The way from the acceptor to the shards: threads of this process, or worker processes.
pub trait Dispatch {
    /// Waits until a shard has room for a connection. Nothing is accepted before that.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether `shard` has room for a connection.
    fn has_room(&self, shard: usize) -> bool;

    /// Sends a connection to the shard of its slot.
    fn dispatch(&mut self, connection: NewConnection);
}
