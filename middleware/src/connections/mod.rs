//! The open connections of a shard, one row each, for readers on other threads.
//!
//! A row is written by the task of its connection alone, with plain stores to a cache line of its own, and
//! can be read from any thread at any time: also while the shard hangs. So a list of all connections costs
//! those connections nothing.
//!
//! ```
//! use towline_middleware::{Echo, FramedTransport, LinesBatchCodec, drain, serve::Serve, stats::Stats};
//! # use std::sync::Arc;
//! # use tower_service::Service as _;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (signal, watch) = drain::channel();
//! let stats = Arc::new(Stats::new(tokio::time::Instant::now()));
//! let (_client, server) = tokio::io::duplex(64);
//! let transport = FramedTransport::new(server, LinesBatchCodec::new(99));
//! let _served = Serve::new(Echo).stats(stats.clone()).drain(watch).call(transport);
//! let rows: Vec<_> = signal.connections(stats.now()).collect();
//! assert_eq!((rows.len(), rows[0].lines), (1, 0));
//! # }
//! ```

mod end;
mod endpoints;
mod peer;
mod row;
pub(crate) mod rows;

pub(crate) use self::rows::{Chunks, Rows};
pub use self::{
    end::ConnectionEnd,
    endpoints::Endpoints,
    peer::PeerAddress,
    row::{ConnectionId, ConnectionRow},
};
