//! TLS on the connections of a shard.
//!
//! | file | holds |
//! |---|---|
//! | `step.rs` | the handshake, as a step before the first frame |
//! | `stream.rs` | bytes of a connection over TLS |
//! | `startable.rs` | TLS that a session starts in the middle |

mod startable;
mod step;
mod stream;

pub(crate) use self::startable::start_in_the_middle;
pub(super) use self::{
    step::{Handshake, LaterHandshake},
    stream::TlsStream,
};
