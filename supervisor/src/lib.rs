//! Several processes behind one port, for more connections than one process may have descriptors.
//!
//! ```text
//!             ┌ supervisor process ────────────────────────────────────────────────┐
//!  port ─────►│ acceptor: slot → accept → WorkerDispatch: worker with the fewest   │
//!             │                                    │                               │
//!  admin ◄────│ MultiProcess ◄─ WorkerTotals       │    WorkerSupervisor × N       │
//!             │ one server     counts per worker   │    starts, watches, restarts  │
//!             └─────────────────────▲──────────────│──────────────▲────────────────┘
//!               one socket pair ┄┄┄┄│┄┄┄┄┄┄┄┄┄┄┄┄┄┄│┄┄┄┄┄┄┄┄┄┄┄┄┄┄│┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄
//!               for each worker   Counts, Ack   ConnectionMsg   SupervisorMsg,
//!                                   │           + descriptor    WorkerMsg
//!             ┌─────────────────────│──────────────▼──────────────▼────────────────┐
//!             │ worker process × N: ControlSession → WorkerInbox → shards          │
//!             └────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The supervisor serves no lines. It alone listens: a worker that dies takes no connection with it
//! that still waits to be accepted, and the limits of connections, of their rate and of each address
//! hold for all processes together. An accepted connection is sent to a worker as a descriptor.
//!
//! When the supervisor ends, its end of each socket pair closes, and the workers drain.
//!
//! | file | holds |
//! |---|---|
//! | `supervisor.rs` | the supervisor process: start, signals, drain |
//! | `multi_process.rs` | the whole server as the admin endpoint and reloads see it |
//! | `dispatch.rs`, `pool.rs`, `worker_slot.rs` | workers as the acceptor sees them, and the connections sent to each |
//! | `worker_supervisor.rs`, `worker_process.rs`, `worker_process/start.rs`, `command.rs` | restarting a worker; one process from start to exit; how it is started; commands to it |
//! | `liveness.rs`, `inbound.rs` | whether a process answers; connections taken back from one that does not |
//! | `totals.rs` | counts that outlive the process that made them |
//! | `channel.rs`, `message.rs` | the socket pair and what is sent over it |
//! | `worker.rs`, `control_session.rs`, `inbox.rs`, `watchdog.rs` | the worker process |

#[cfg(not(target_os = "linux"))]
compile_error!("towline needs Linux 5.11 or later");

mod channel;
mod command;
mod control_session;
mod dispatch;
mod inbound;
mod inbox;
mod lists;
mod liveness;
mod material;
mod message;
mod multi_process;
mod pool;
mod supervisor;
mod totals;
mod watchdog;
mod worker;
mod worker_process;
mod worker_slot;
mod worker_supervisor;

pub use supervisor::run;
pub use worker::Worker;
pub use worker_process::WorkerCommand;
