//! Notifications of the service manager, as sd_notify(3) says. Without `NOTIFY_SOCKET` they do nothing.

use sd_notify::NotifyState;

/// Notifies that connections are accepted. The manager shows `status`.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Notifies that the drain has started.
pub fn stopping(connections: usize) {
    let status = format!("draining {connections} connections");
    send(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// Logs a failure: a manager that waits for `ready` in vain ends the server.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be notified (NOTIFY_SOCKET)");
    }
}
