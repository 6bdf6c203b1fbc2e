//! What a server counts and what it holds: plain data, and the label values of its metrics.
//!
//! A leaf below everything: the parts that count fill a [`Snapshot`], [`crate::exporter`] gives its
//! numbers names, and neither knows the other.

mod labels;
mod snapshot;
mod status;

pub use self::snapshot::Snapshot;
#[cfg(feature = "admin")]
pub(crate) use self::snapshot::{Gauges, ShardUsage};
pub(crate) use self::{
    labels::{ERRNOS, Rejection, STEPS},
    snapshot::Counters,
    status::Status,
};
