//! Shards: threads that serve lines, each with a current-thread runtime. A connection never moves to
//! another shard.
//!
//! | file | holds |
//! |---|---|
//! | `pool.rs`, `pool_state.rs` | the shards of a process, and what they share |
//! | `dispatch.rs` | the queues between the acceptor and the shards |
//! | `event_loop.rs` | what a shard's thread does beside its connections |
//! | `serve_socket.rs` | the codec and the stack of a socket |
//! | `serve_stream.rs` | the same stack over a stream in memory, for the test kit |
//! | `starter.rs`, `prelude/` | how connections start, and what happens before their first frame |
//! | `connection.rs`, `socket.rs`, `established.rs`, `peer.rs` | one connection |
//! | `tls/` | TLS on connections, from the beginning or from the middle |
//! | `receive_buffer.rs` | which clients have a large receive buffer |
//! | `service_error.rs` | the log of errors that end connections |
//! | `scheduling_probe.rs` | how late a shard runs what is ready |
//! | `age.rs` | connections end at `timeouts.age` |
//! | `drain.rs` | how connections are told to finish |
//! | `threads.rs` | threads that run one future |

mod age;
mod connection;
mod dispatch;
mod drain;
mod established;
mod event_loop;
mod peer;
mod pool;
mod pool_state;
mod prelude;
mod receive_buffer;
mod scheduling_probe;
mod serve_socket;
#[cfg(feature = "test")]
mod serve_stream;
mod service_error;
mod socket;
mod starter;
pub mod threads;
#[cfg(feature = "tls")]
mod tls;
mod write_now;

#[cfg(feature = "test")]
pub(crate) use self::serve_stream::{ByteStream, Ended};
#[cfg(feature = "test")]
use self::serve_stream::{ServeStream, end_of_line, serve_stream, stream_of_lines};
#[cfg(feature = "tls")]
pub(crate) use self::tls::start_in_the_middle;
pub use self::{
    dispatch::ShardDispatch,
    peer::{ConnExt, Peer, UnixCredentials},
    pool::ShardPool,
    pool_state::PoolState,
    serve_socket::serve_lines,
};
pub(crate) use self::{
    drain::{drain_in_steps, unfinished},
    established::{AnySocket, Established},
    event_loop::wake_all,
    prelude::StepsByListener,
    serve_socket::{ServeBy, ServeSocket},
    starter::ConnectionStarter,
};
