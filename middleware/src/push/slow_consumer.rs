//! What happens to a member that takes its messages too slowly.

use std::time::Duration;

/// What a [`Group`](super::Group) does about a member for which `push.connection_bytes` wait already, when a message
/// comes that would be more. Messages are left out whole.
///
/// | policy | the member loses | the others lose |
/// |---|---|---|
/// | `Disconnect` | its connection | nothing |
/// | `DropOldest` | the messages of the group that have waited longest | nothing |
/// | `DropNewest` | the message | nothing |
/// | `Block` | its connection, after that time | time: their publishers are not read on meanwhile |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// It is told so, if it takes that, and closed, as
    /// [`CloseReason::SlowConsumer`](crate::stats::CloseReason::SlowConsumer). What IRC servers, NATS and Redis do:
    /// memory and order are certain.
    Disconnect,
    /// Its oldest messages of this group are left out, and counted.
    DropOldest,
    /// What comes is left out until there is room, and counted.
    DropNewest,
    /// Connections that send to the group are not read on until the member has taken half of what waits. It is
    /// closed as with `Disconnect` after this time, or when twice the limit waits: what is sent from outside of a
    /// connection does not stop. One member can hold up a whole group for so long, which is why it has a bound.
    Block(Duration),
}
