//! The parts of a server, for `towline-supervisor` and the `towline` binary, which assemble servers
//! of their own from them. No part of the public interface: any release may change them.

#[cfg(feature = "admin")]
pub use crate::connections::{
    CLOSE_WAIT_MAX, ClosedJson, Filter, InvalidCondition, ListedRow, Rows, WantedRows, yielding,
};
pub use crate::{
    accept::{
        Accepted, Acceptor, Address, AdmissionControl, ConnectionSlot, ConnectionSlots,
        ConnectionTag, Dispatch, Listener, NewConnection, PassedSocket, PerAddress, RejectionWords,
        addresses, register,
    },
    closed::{ClosedConnection, ClosedConnections, SocketFigures},
    counts::{InvalidId, ProcessPlace, ProcessState, PublicId, Snapshot, monotonic_nanos},
    hooks::Hooks,
    lifecycle::{
        ConfigChange, RemoteControl, ServerState, Stage, Wanted, announcement, control, drain,
        loader, log_start, reload, signals,
    },
    live_config::LiveConfig,
    overload::{run_overload_control, watch_connection_limit},
    plan::ProcessPlan,
    server::{Parts, start},
    shard::{PoolState, ShardDispatch, ShardPool, serve_lines, threads},
};

#[cfg(feature = "admin")]
pub use crate::exporter::{CountsReader, ProcessUsage, UserMetrics};
#[cfg(feature = "systemd")]
pub use crate::lifecycle::{activation, notify, watchdog};
#[cfg(feature = "tls")]
pub use crate::{
    lifecycle::tls_files,
    tls::{Material, TlsChange},
};

/// The parser of PROXY headers, for its tests and its fuzzer.
pub mod proxy_protocol {
    pub use crate::proxy_protocol::{
        Endpoint, HEADER_BYTES_MAX, Parsed, Proxied, ProxiedTls, ProxyError, V2_BYTES_MAX,
        check_laws, parse,
    };
}

/// The admin endpoint.
#[cfg(feature = "admin")]
pub mod admin {
    pub use crate::{
        accept::SocketFile,
        admin::{Sockets, StatusSource, start},
    };
}

/// Commands to a running server.
#[cfg(feature = "admin")]
pub mod commands {
    pub use crate::{
        connections::{Closed, Closing},
        control::Controllable,
    };
}

/// The stacks that settings describe.
pub mod stack {
    pub use crate::stack::{FrameService, StackParts, configured};
}
