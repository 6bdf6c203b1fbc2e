//! The parts of a server, for `towline-supervisor` and the `towline` binary, which assemble servers
//! of their own from them. No part of the public interface: any release may change them.

pub use crate::{
    accept::{
        Accepted, Acceptor, Address, AdmissionControl, ConnectionSlot, ConnectionSlots,
        ConnectionTag, Dispatch, Listener, NewConnection, PerAddress, register,
    },
    counts::Snapshot,
    exporter::{CountsReader, ProcessUsage, UserMetrics},
    lifecycle::{
        ConfigChange, ServerState, Stage, activation, announcement, control, drain, log_start,
        notify, reload, signals,
    },
    live_config::LiveConfig,
    overload::run_overload_control,
    plan::ProcessPlan,
    server::{Parts, start},
    shard::{PoolState, ShardDispatch, ShardPool, threads},
};

/// The admin endpoint.
pub mod admin {
    pub use crate::admin::{Socket, StatusSource, start};
}

/// The stacks that settings describe.
pub mod stack {
    pub use crate::stack::{LineService, StackParts, configured};
}
