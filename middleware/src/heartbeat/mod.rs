//! Every connection supervised: heartbeat and deadlines, by one timer.
//!
//! *Does*: sends `ping` after [`Deadlines::heartbeat_interval`] of silence and consumes the `pong`;
//! ends a connection whose peer misses it, sends nothing for [`Deadlines::idle`], does not finish a
//! line within [`Deadlines::line`] of its first byte, or takes less than [`PROGRESS_BYTES`] of what it
//! is owed in [`Deadlines::write`].
//! *Does not*: time the service; that is tower's `Timeout`, inside. A *timeout* re-arms on activity,
//! a *deadline* (the line's) does not. *Goes*: above framing, because it must see whole lines and
//! owns the sink it speaks through; below [`Serve`](crate::serve::Serve).
//! *Costs*: one timer and about 200 bytes a connection; a comparison a park, nothing a line. The
//! timer is compared when it fires, not reset on activity.
//!
//! Three tools tell a dead peer, each another death: TCP keepalive a dead host, the heartbeat a
//! dead application, the line stack's timeout a slow service.
//!
//! A server that stood still, because it was stopped or its host suspended, gives every peer as much
//! time more, if somebody looks after the time ([`HeartbeatLayer::run_watchdog`]).
//!
//! Any whole line is life and answers a ping. The line `pong` answers it without being served: once
//! a ping, within [`Deadlines::heartbeat_timeout`] of it, even if other lines that were under way
//! came first. Any other `pong` is an ordinary line. Bytes that never become a line are no life.

mod layer;
mod suspend_clock;
mod timers;
mod transport;

pub use layer::{HeartbeatLayer, HeartbeatService};
pub use timers::{Action, ConnectionTimers, Deadlines, Observation, Owed, PROGRESS_BYTES, Rearm};
pub use transport::HeartbeatTransport;
