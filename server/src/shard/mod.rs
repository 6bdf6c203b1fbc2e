//! ShardPool: threads that serve lines, each with a runtime of its own. A connection never moves.

mod connection;
mod dispatch;
mod drain;
mod event_loop;
mod peer;
mod pool;
mod pool_state;
mod socket;
pub mod threads;

pub(crate) use self::connection::serve_io;
pub use self::{dispatch::ShardDispatch, peer::Peer, pool::ShardPool, pool_state::PoolState};
