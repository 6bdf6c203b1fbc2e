//! Every connection supervised: heartbeat and deadlines, by one timer.
//!
//! *Does*: sends `ping` after [`Deadlines::heartbeat_interval`] of silence and consumes the `pong`;
//! ends a connection whose peer does not answer it, sends no line for [`Deadlines::idle`], does not
//! finish a line within [`Deadlines::line`] of its first byte, or takes less than [`PROGRESS_BYTES`] of
//! its replies in [`Deadlines::write`].
//!
//! *Does not*: time the service; that is [`Timeout`](crate::Timeout), in the line stack.
//!
//! *Goes*: above framing, because it must see whole lines and owns the sink through which it sends;
//! directly around [`Serve`](crate::serve::Serve).
//!
//! *Costs*: one time to wake at and about 100 bytes a connection (96 more where it needs a timer of its own, see
//! [`Timers`](crate::drain::Timers)), a comparison a park, nothing a line. The timer
//! is compared when it fires, not reset on activity, and fires up to the 256th part of its wait late,
//! together with others.
//!
//! That is for lines. For another protocol `ping` is what it says for
//! [`Notice::Ping`](crate::protocol::Notice::Ping), and `pong` what its
//! [`is_pong`](crate::protocol::Protocol::is_pong) tells; [`PingWords`] replaces both. A protocol without a word
//! for a ping must have no heartbeat: nothing would be sent, and a silent peer closed all the same.
//!
//! Any whole line shows that the peer lives and answers a ping. The line `pong` answers it without being
//! served: once a ping, within [`Deadlines::heartbeat_timeout`] of it, even if other lines that were on
//! their way came first. Any other `pong` is an ordinary line. Bytes that never become a line do not
//! count.
//!
//! Three tools detect three kinds of dead peers: TCP keep-alive a dead host, the heartbeat a dead
//! application, [`Timeout`](crate::Timeout) a slow service.
//!
//! A process that was suspended gives every peer as much time more, if
//! [`HeartbeatLayer::run_watchdog`] runs.

mod deadlines;
mod layer;
mod ping_words;
mod pong;
mod stream_sink;
mod supervision;
pub(crate) mod suspend_clock;
mod timers;
mod transport;

pub use deadlines::{Deadlines, PROGRESS_BYTES};
pub use layer::{HeartbeatLayer, HeartbeatService};
pub use ping_words::PingWords;
pub use transport::HeartbeatTransport;
