//! Sessions that later connections resume.
//!
//! The store of rustls keeps 8 tickets of a server. A run has thousands of connections to one, of which
//! each brings a ticket or two: with 8 of them almost every handshake of a reconnect would be a full one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Tickets kept of one server; further ones replace the oldest. Each has the server's certificates.
const TICKETS_MAX: usize = 16_384;

/// The sessions of all connections of a process, by the name of the server. Shared by all event loops:
/// a handshake locks it for two or three moments.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<ServerName<'static>, Server>>);

#[derive(Debug, Default)]
struct Server {
    group: Option<NamedGroup>,
    /// A session of TLS 1.2 may be resumed any number of times.
    tls12: Option<Tls12ClientSessionValue>,
    /// A ticket of TLS 1.3 is used once.
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Tickets {
    /// The servers. A thread that panicked has left them whole.
    fn servers(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.servers().entry(name).or_default().group = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.servers().get(name).and_then(|server| server.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.servers().entry(name).or_default().tls12 = Some(session);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.servers().get(name).and_then(|server| server.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(server) = self.servers().get_mut(name) {
            server.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut servers = self.servers();
        let tickets = &mut servers.entry(name).or_default().tls13;
        if tickets.len() >= TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.servers().get_mut(name).and_then(|server| server.tls13.pop_back())
    }
}
