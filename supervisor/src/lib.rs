//! Several processes behind one port, past the number of descriptors that one may have.
//!
//! ```text
//!                 ┌ supervisor ──────────────────────────────────┐
//!  port ─────────►│ acceptor: place → accept → process with the  │
//!                 │ fewest ────────────┐                         │
//!  admin port ◄───│ sums ◄─ ledgers    │    restarts the dead    │
//!                 └───▲────────────────│──▲──────────────────────┘
//!         counts, tallies       connections, orders       one socket pair each
//!                 ┌───┴────────────────▼──┴──────────────────────┐
//!                 │ worker processes: shards and their stacks    │ × N
//!                 └──────────────────────────────────────────────┘
//! ```
//!
//! The supervisor serves no line. It alone listens, so no worker that dies takes connections along
//! that wait to be accepted, and the limits of connections, of their rate and of each address are one
//! for all. An accepted connection goes to a worker as a descriptor.
//!
//! A worker sees the end of the socket pair when the supervisor is gone, and drains.

mod channel;
mod control_session;
mod dispatch;
mod inbox;
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
