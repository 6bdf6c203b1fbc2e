//! The thread-local state of this crate.

pub mod block_pool;
pub mod clock;
pub(crate) mod waker_queue;
