//! Helpers that the tests of several crates share: clients, processes, the admin port, and what the
//! host must have. They panic where a test would.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a helper that fails ends its test, and one that skips says why"
)]

mod balancer;
mod client;
mod command;
mod control_group;
mod fanout_server;
#[cfg(feature = "middleware")]
mod faulty_io;
pub mod fuzz;
pub mod http;
mod line_server;
mod metrics;
mod namespace;
#[cfg(feature = "middleware")]
mod netstring;
mod process;
mod require;
mod server_process;
#[cfg(feature = "middleware")]
mod stack;
#[cfg(feature = "middleware")]
mod supervised_client;
mod temp_file;
mod terminal;
#[cfg(feature = "tls")]
pub mod tls;
mod wait;

pub use balancer::Balancer;
pub use client::Client;
pub use command::{Run, refusal, refusal_in, towline, towline_in};
pub use control_group::ControlGroup;
pub use fanout_server::FanoutServer;
#[cfg(feature = "middleware")]
pub use faulty_io::{End, FaultyIo, Record, SharedRecord, Step};
pub use line_server::{Answer, LineServer};
pub use metrics::Metrics;
pub use namespace::{Namespace, network_namespace};
#[cfg(feature = "middleware")]
pub use netstring::Netstring;
pub use process::{has_ended, kernel_counter, signal, stop};
pub use require::{can, require};
pub use server_process::ServerProcess;
#[cfg(feature = "middleware")]
pub use stack::{assert_closed_once, block_on, every, line_stack, serve};
#[cfg(feature = "middleware")]
pub use supervised_client::{DEADLINES, SupervisedClient, assert_on_time, secs};
pub use temp_file::TempFile;
pub use terminal::Terminal;
pub use wait::{PATIENCE, wait_for, wait_until};
