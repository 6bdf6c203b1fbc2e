//! Helpers that the tests of several crates share: clients, processes, the admin port, and what the
//! host must have. They panic where a test would.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a helper that fails ends its test, and one that skips says why"
)]

mod client;
mod command;
mod control_group;
pub mod http;
mod line_server;
mod metrics;
mod namespace;
mod process;
mod require;
mod server_process;
mod temp_file;
mod wait;

pub use client::Client;
pub use command::{Run, refusal, refusal_in, towline, towline_in};
pub use control_group::ControlGroup;
pub use line_server::{Answer, LineServer};
pub use metrics::Metrics;
pub use namespace::{Namespace, network_namespace};
pub use process::{has_ended, kernel_counter, signal};
pub use require::{can, require};
pub use server_process::ServerProcess;
pub use temp_file::TempFile;
pub use wait::{PATIENCE, wait_for, wait_until};
