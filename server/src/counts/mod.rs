//! The numbers of a server as plain data, and the label values of its metrics.
//!
//! A leaf below all other modules: the parts that count fill a [`Snapshot`], [`crate::exporter`] turns it
//! into metrics, and neither depends on the other.

mod clock;
mod handshakes;
mod labels;
mod public_id;
mod snapshot;
#[cfg(feature = "admin")]
mod status;

#[cfg(feature = "admin")]
pub(crate) use self::snapshot::{Gauges, ShardUsage};
pub use self::{
    clock::monotonic_nanos,
    labels::ProcessState,
    public_id::{InvalidId, ProcessPlace, PublicId},
    snapshot::Snapshot,
};
pub(crate) use self::{
    handshakes::{HandshakeResult, Handshakes},
    labels::{ERRNOS, Rejection, STEPS},
    snapshot::Counters,
};
#[cfg(feature = "admin")]
pub(crate) use self::{
    labels::WriteWaitCause,
    status::{ListenerConnections, Status, TlsStatus},
};
