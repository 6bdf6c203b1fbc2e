//! Notifications of the service manager, as sd_notify(3) says. Without `NOTIFY_SOCKET` they do nothing.
//!
//! They are sent without waiting, unlike those of the crate `sd-notify`: the thread that sends them
//! handles the stop signals. A manager that has stopped reading would make the server unstoppable.

use std::{
    env,
    io::{self, ErrorKind},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::sleep;

const VARIABLE: &str = "NOTIFY_SOCKET";

/// Pause before [`ready`] is sent again to a manager whose queue was full.
const READY_AGAIN: Duration = Duration::from_millis(200);

/// Whether [`stopping`] was called, after which no status is sent.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Whether the log has said that a notification was dropped.
static DROP_LOGGED: AtomicBool = AtomicBool::new(false);

/// Notifies that connections are accepted. The manager shows `status`. Needs a Tokio runtime.
///
/// A manager that waits for this in vain ends the server, so it is sent again, by a task, until the
/// manager's queue has room or the server stops.
pub fn ready(status: &str) {
    let message = format!("READY=1\nSTATUS={status}\n");
    if !is_dropped(&message) {
        return;
    }
    tokio::spawn(async move {
        while !STOPPING.load(Relaxed) && is_dropped(&message) {
            sleep(READY_AGAIN).await;
        }
    });
}

/// Replaces the status that the manager shows.
pub fn status(status: &str) {
    if !STOPPING.load(Relaxed) {
        is_dropped(&format!("STATUS={status}\n"));
    }
}

/// Notifies that the server runs, for the manager's watchdog. Returns whether that was sent.
pub(super) fn alive() -> bool {
    !is_dropped("WATCHDOG=1\n")
}

/// Notifies that the drain has started.
pub fn stopping(connections: usize) {
    STOPPING.store(true, Relaxed);
    is_dropped(&format!("STOPPING=1\nSTATUS=draining {connections} connections\n"));
}

/// Sends a message without waiting. Returns whether it was dropped because the manager's queue is full,
/// which is logged once; other errors are logged each time.
fn is_dropped(message: &str) -> bool {
    let Some(name) = env::var_os(VARIABLE) else { return false };
    let send = || {
        let manager = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), &manager)
    };
    let error: io::Error = match send() {
        Ok(_) => return false,
        Err(error) => error,
    };
    let is_full = error.kind() == ErrorKind::WouldBlock;
    if !is_full {
        tracing::warn!(%error, "the service manager cannot be notified ({VARIABLE})");
    } else if !DROP_LOGGED.swap(true, Relaxed) {
        tracing::warn!(
            "the service manager does not read its notifications ({VARIABLE}): some are dropped"
        );
    }
    is_full
}
