//! Transport and Tower layers for line protocols over any byte stream.
//!
//! This crate handles bytes, lines, time and [`tower_service::Service`]. It knows no socket, no
//! configuration file and no metrics exporter, and starts no thread: what it counts is plain data in
//! [`stats::Stats`], for an exporter to publish.
//!
//! The unit of service is a **batch of lines** ([`Lines`]): every complete line of one read, in one
//! contiguous [`bytes::Bytes`]. One Tower call a batch costs nothing that matters; one a line costs more
//! than serving it. [`each_line`] calls a function for each, and [`EachLine`] adapts services of single lines.
//!
//! Lines are the default [`protocol`]: [`Lines`] is [`Batch<Lf>`](Batch). What is said of lines below holds for
//! the frames of any other [`protocol::Protocol`], except in [`EachLine`], [`Sha256`], [`Echo`] and
//! [`Utf8LinesCodec`], which serve lines alone.
//!
//! A server has two stacks. The *connection stack* is a [`tower_service::Service`] of byte streams, called
//! once a connection; each of its layers changes the type of the connection. The *line stack* is a service
//! of [`Lines`], called once a batch.
//!
//! | piece | from → to | stack |
//! |---|---|---|
//! | [`MeterLayer`] | bytes → [`MeteredIo`], counted | connection, below framing |
//! | [`FramingLayer`] | bytes → [`FramedTransport`], a `Stream + Sink` of batches | connection |
//! | [`heartbeat::HeartbeatLayer`] | transport → [`heartbeat::HeartbeatTransport`] | connection, above framing |
//! | [`serve::Serve`] | transport → the end of the connection | connection, innermost |
//! | [`ErrorReplyLayer`], [`ObserveLayer`], [`Sha256Layer`] | `Service<Lines>` → `Service<Lines>` | line |
//! | [`rate::RateLayer`] | `Service<Lines>` → `Service<Lines>` whose response is a [`Response`] | line, of one connection |
//! | [`TimeoutLayer`], [`ConcurrencyLimitLayer`], [`ReadyPerCallLayer`] | any service → service | line |
//! | [`each_line`], [`EachLine`], [`Echo`], [`BoxFuture`] | the service that serves the lines | line, innermost |
//!
//! In the place of the line stack a [`session`] may answer: one value for each connection, which is called with
//! one frame after another and `&mut`. A [`router::Router`] is the session of most protocols: functions by the
//! first word of a line. What both say is in [`reply`].
//!
//! Tower's own layers fit the line stack as well: put a [`ReadyPerCallLayer`] outside those that reserve
//! something in `poll_ready`.
//!
//! ```
//! use towline_middleware::{Echo, LinesBatchCodec, drain, serve_connection};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (mut client, server) = tokio::io::duplex(1024);
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! tokio::spawn(async move {
//!     serve_connection(server, LinesBatchCodec::new(64 * 1024), Echo, drain::Watch::never()).await
//! });
//! client.write_all(b"one\ntwo\n").await.unwrap();
//! let mut reply = [0; 8];
//! client.read_exact(&mut reply).await.unwrap();
//! assert_eq!(&reply, b"one\ntwo\n");
//! # }
//! ```

mod batch;
mod box_future;
mod clock;
mod codec;
mod concurrency_limit;
pub mod connections;
pub mod drain;
mod each_frame;
mod each_line;
mod echo;
mod error_reply;
mod exceeded;
mod fairness;
mod framed_transport;
pub mod heartbeat;
#[doc(hidden)]
pub mod internal;
mod line;
mod lines;
mod live_setting;
mod macros;
mod metered_io;
mod observe;
pub mod protocol;
pub mod push;
pub mod rate;
mod ready_per_call;
pub mod reply;
mod response;
mod rest;
pub mod router;
pub mod serve;
pub mod session;
mod sha256;
pub mod stats;
mod swar;
#[cfg(feature = "test")]
pub mod test;
mod thread_context;
mod timeout;
mod transport;

pub use batch::{Batch, Frames};
pub use box_future::BoxFuture;
pub use codec::{BatchCodec, LineError, LineLimits, LinesBatchCodec, Utf8LinesCodec};
pub use concurrency_limit::{ConcurrencyLimit, ConcurrencyLimitLayer, LoadShed, Semaphore};
pub use each_frame::{EachFrame, each_frame, each_line};
pub use each_line::EachLine;
pub use echo::Echo;
pub use error_reply::{ErrorReply, ErrorReplyLayer};
pub use framed_transport::{FramedTransport, FramingLayer, FramingService};
pub use line::Line;
pub use lines::Lines;
pub use metered_io::{Meter, MeterLayer, MeteredIo};
pub use observe::{Observe, ObserveLayer};
pub use ready_per_call::{ReadyPerCall, ReadyPerCallLayer};
pub use response::{IntoResponse, Response};
pub use serve::serve_connection;
pub use sha256::{DigestMode, Sha256, Sha256Layer};
pub use timeout::{Timeout, TimeoutLayer};
pub use transport::Transport;

/// An error that travels through Tower: typed where it is made, recognised where it is answered.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One kibibyte.
const KIB: usize = 1024;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
