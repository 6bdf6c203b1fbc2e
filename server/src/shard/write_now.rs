//! A write to a connection without its task.

use std::io;

use nix::sys::socket::{MsgFlags, send};

/// Writes what the socket takes now.
///
/// The descriptor is that of a connection whose mailbox is open. Its task closes the mailbox before it closes the
/// socket, on the thread on which this runs: so the descriptor is not that of a later connection.
pub(super) fn write_now(socket: i32, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(socket, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
}
