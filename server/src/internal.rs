//! The parts of a server, for `towline-supervisor` and the `towline` binary, which assemble servers
//! of their own from them. No part of the public interface: any release may change them.

pub use crate::{
    accept::{
        Accepted, Acceptor, Address, Deliver, Gate, Handover, Listener, Mark, PerAddress, Slot,
        Slots, watch,
    },
    counts::Snapshot,
    exporter::{Process, Reader},
    lifecycle::{Change, Front, Stage, activation, control, drain, notify, reload, signals},
    live_config::Now,
    overload::relieve,
    plan::Plan,
    server::{announcement, start},
    shard::{Shards, Shared, ToShards, threads},
};

/// The admin endpoint.
pub mod admin {
    pub use crate::admin::{Socket, Subject, start};
}

/// The stacks that settings describe.
pub mod stack {
    pub use crate::stack::{LineService, Parts, configured};
}
