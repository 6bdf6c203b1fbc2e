//! Tells a service manager where the server is in its life, as sd_notify(3) says; nothing where
//! `NOTIFY_SOCKET` names none.

use sd_notify::NotifyState;

/// Connections are accepted; `status` is what the manager shows of it.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The drain begins.
pub fn stopping(connections: usize) {
    let status = format!("draining {connections} connections");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// A manager that does not listen waits in vain and ends the server, which the log should explain.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
    }
}
