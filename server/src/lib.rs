//! Tower for raw TCP lines: a protocol of one line after another as a `tower::Service`.
//!
//! Write the service; framing, limits, deadlines, heartbeat, back-pressure, metrics and drain come
//! with it. Linux 5.11 or later.
//!
//! ```no_run
//! use std::convert::Infallible;
//! use towline::{EachLine, Line, RunError, Server, service_fn};
//!
//! async fn upper(line: Line) -> Result<Vec<u8>, Infallible> {
//!     Ok(line.to_ascii_uppercase())
//! }
//!
//! fn main() -> Result<(), RunError> {
//!     Server::builder().listen("localhost:9000").serve(EachLine::new(service_fn(upper))).run()?;
//!     Ok(())
//! }
//! ```
//!
//! - [`Server`] has threads of its own, one shard per core, and drains on signals;
//! - [`Server::run_on`] serves a listener in your own runtime, [`serve`] one with a service;
//! - [`serve_connection`] serves one connection over any byte stream;
//! - [`middleware`] has the transport and the layers alone.
//!
//! The guide is [`guide`].

#[cfg(not(target_os = "linux"))]
compile_error!("towline needs Linux 5.11 or later");

mod accept;
#[cfg_attr(not(feature = "admin"), path = "admin/off.rs")]
mod admin;
mod builder;
mod closed;
#[cfg(feature = "admin")]
mod connections;
#[cfg(feature = "admin")]
mod control;
mod counts;
mod error;
#[cfg(feature = "admin")]
mod exporter;
mod hooks;
#[doc(hidden)]
pub mod internal;
mod lifecycle;
mod live_config;
mod overload;
mod plan;
mod proxy_protocol;
mod serve;
mod server;
mod shard;
mod stack;
#[cfg(feature = "test")]
pub mod test;
#[cfg(feature = "tls")]
mod tls;

pub use accept::{BoundListener, configure_listener};
pub use builder::{Builder, ProtocolBuilder};
pub use error::RunError;
pub use lifecycle::{Control, Outcome, Running};
pub use proxy_protocol::{Endpoint, Proxied, ProxiedTls};
pub use serve::{BatchService, service_fn};
pub use server::{Server, Serving, serve, serve_until};
pub use shard::{ConnExt, Peer, UnixCredentials};
#[cfg(feature = "tls")]
pub use tls::{Identity, Tls, TlsInfo};
pub use tower::{ServiceBuilder, util::ServiceFn};
pub use towline_config as config;
pub use towline_config::{
    Admission, FlushPolicy, Framing, Heartbeat, Overload, PendingRestart, Settings, Timeouts,
};
pub use towline_middleware as middleware;
pub use towline_middleware::{
    Batch, BatchCodec, BoxError, EachFrame, EachLine, Line, Lines, LinesBatchCodec, Response,
    drain, each_frame, each_line,
    protocol::{self, Protocol},
    push::{self, Group, Membership, PushError, SlowConsumer, Topics},
    rate::{Excess, Quota, Quotas, RateLayer},
    reply::{self, Args, Close, IntoReply, Message, Out, Raw, ReplyError, Rest, Value},
    router::Router,
    serve_connection,
    session::{
        Action, ActionOf, Body, Conn, ConnId, Cx, Deferred, Detach, Detached, Draining, FrameOf,
        IntoSession, Overlap, Refused, ReplyStream, Session, Upgrade, serve_session,
    },
    stats::CloseReason,
};

/// The guide: a service, its state, its layers, errors, drain, tests.
#[doc = include_str!("../LIBRARY.md")]
#[cfg(any(doc, doctest))]
pub mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
