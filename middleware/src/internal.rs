//! What only the crate `towline`, tests and benchmarks of this repository use.
//!
//! **Without any promise**: everything here may change or go in any release.

pub use crate::{
    codec::LINES_MAX,
    connections::rows::{Chunks, Rows},
    drain::WakeEntry,
    fairness::{run_close_pacer, run_yield_queue},
    heartbeat::suspend_clock::SuspendClock,
    stats::{connection::ConnectionStats, counter::Writers},
    thread_context::{
        block_pool::{BLOCK_BYTES, SMALL_BLOCK_BYTES, put as put_block, take as take_block},
        invalidate_clock, share_clock_between_tasks,
    },
    transport::{BufferedBytes, Expired, Parked, PeerEnd, Phase},
};
