//! TLS on the connections of a shard.
//!
//! | file | holds |
//! |---|---|
//! | `session.rs` | records in and out of memory that is lent |
//! | `socket.rs`, `data.rs` | a socket with a session over it; data in and out of it |
//! | `accept.rs` | a handshake |
//! | `step.rs` | the handshake, as a step before the first frame |
//! | `stream.rs` | bytes of a connection over TLS |
//! | `startable.rs` | TLS that a session starts in the middle |

mod accept;
mod data;
mod session;
mod socket;
mod startable;
mod step;
mod stream;

pub(crate) use self::startable::start_in_the_middle;
pub(super) use self::{
    step::{Handshake, LaterHandshake},
    stream::TlsStream,
};
