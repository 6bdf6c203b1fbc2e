//! Connections one by one: which ones are open, what each does and whose fault a wait is.
//!
//! What the server knows is in the rows of its shards, which are read without disturbing a connection. What
//! only the kernel knows is asked of it for a list that is asked for, so it costs idle connections nothing.
//!
//! | file | holds |
//! |---|---|
//! | `row.rs` | a connection as its shard has it, also as bytes between processes |
//! | `rows.rs` | the rows of a process: all, or the first of an order |
//! | `query.rs`, `filter.rs` | which connections, in which order |
//! | `listing.rs` | the first of them in that order |
//! | `kernel.rs` | what the kernel knows |
//! | `cause.rs`, `write_waits.rs` | why replies are not taken |
//! | `json.rs` | the answer of `GET /connections` |
//! | `close.rs` | closing those that are named |
//! | `yielding.rs` | how long lists let other threads run |

mod cause;
mod close;
mod filter;
mod json;
mod kernel;
mod listing;
mod query;
mod row;
mod rows;
mod write_waits;
mod yielding;

use std::time::Duration;

use towline_host::TcpSocket;

use crate::counts::WriteWaitCause;

pub use self::{
    close::{CLOSE_WAIT_MAX, Closed, Closing},
    filter::{Filter, InvalidCondition},
    json::ClosedJson,
    row::ListedRow,
    rows::{Rows, WantedRows},
    yielding::yielding,
};
pub(crate) use self::{
    json::{ListingJson, ServerJson},
    kernel::KernelView,
    listing::{Listing, list},
    query::{Needs, Query},
    write_waits::WriteWaits,
};

/// An open connection, with what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct ListedConnection {
    pub(crate) row: ListedRow,
    /// Of a TCP socket, if the kernel was asked.
    pub(crate) socket: Option<TcpSocket>,
    /// Why its peer does not take its replies, if it waits for that and was looked at.
    pub(crate) cause: Option<WriteWaitCause>,
}

/// Whole nanoseconds; the largest number for more than fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl ListedConnection {
    /// Of which only the row is known.
    fn without_socket(row: ListedRow) -> Self {
        Self { row, socket: None, cause: None }
    }

    /// Whether the kernel was not asked for all that it knows.
    pub(crate) fn lacks_details(&self) -> bool {
        self.socket.as_ref().is_none_or(|socket| socket.info.is_none())
    }

    /// Time since anything was received.
    fn idle(&self) -> Option<Duration> {
        let info = self.socket.as_ref().and_then(|socket| socket.info);
        info.map(|info| info.since_received).or_else(|| self.row.idle())
    }

    /// Replies that the peer has not acknowledged: buffered here, and in the kernel.
    fn unsent_bytes(&self) -> u64 {
        let kernel = self.socket.as_ref().map_or(0, |socket| socket.unacknowledged_bytes.into());
        self.row.unwritten_bytes() + kernel
    }

    /// Bytes received and acknowledged.
    fn transferred_bytes(&self) -> Option<u64> {
        let info = self.socket.as_ref()?.info?;
        Some(info.received_bytes + info.acknowledged_bytes)
    }
}
