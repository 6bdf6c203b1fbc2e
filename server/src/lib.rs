//! Tower for raw TCP lines: a protocol of one line after another as a `tower::Service`.
//!
//! Write the service; framing, limits, deadlines, heartbeat, back-pressure, metrics and drain come
//! with it.
//!
//! - [`serve`]: a listener and a service, in your own runtime;
//! - [`Server`]: threads of its own, one shard per core, drained on signals;
//! - [`towline_middleware`]: transport and layers alone, over any byte stream.
//!
//! The line stack that surrounds a service is in `stack.rs`, the file to read first.

#![allow(missing_docs)]

mod accept;
mod admin;
mod builder;
mod counts;
mod error;
mod exporter;
#[doc(hidden)]
pub mod internal;
mod lifecycle;
mod live_config;
mod overload;
mod plan;
mod serve;
mod server;
mod shard;
mod stack;

pub use builder::{Builder, Server};
pub use error::RunError;
pub use lifecycle::{Control, Outcome};
pub use serve::{serve, serve_until};
pub use server::Running;
pub use shard::Peer;
pub use tower::{ServiceBuilder, service_fn};
pub use towline_config::{Heartbeat, PendingRestart, Settings, Timeouts};
pub use towline_middleware::{BoxError, EachLine, Line, Lines, drain};

/// The guide, whose snippets are tests.
#[doc = include_str!("../../docs/LIBRARY.md")]
#[cfg(doctest)]
pub mod guide {}
