//! Whose PROXY headers are believed, and on which listeners.

use std::{net::SocketAddr, sync::Arc};

use towline_config::{NetworkList, NetworkSet, ProxyMode, Settings};

/// The senders of PROXY headers.
#[derive(Debug, Clone)]
pub(crate) struct ProxySenders {
    /// By listener; the last is that of listeners that are no entry of `server.listen`.
    modes: Vec<ProxyMode>,
    /// `None` for all.
    trusted: Option<Arc<NetworkSet>>,
}

impl ProxySenders {
    pub(crate) fn of(settings: &Settings) -> Self {
        let listeners = settings.server.listen.len();
        let set = |list: &NetworkList| list.set().clone();
        Self {
            modes: (0..=listeners).map(|listener| settings.proxy_mode(listener)).collect(),
            trusted: settings.proxy_protocol.trusted.as_ref().map(set),
        }
    }

    /// Whether connections of a listener begin with a header.
    pub(crate) fn mode(&self, listener: u8) -> ProxyMode {
        let last = self.modes.len() - 1;
        self.modes[usize::from(listener).min(last)]
    }

    /// Whether the headers of a sender are believed. Over a UNIX socket the rights of its file say who can send.
    pub(crate) fn is_trusted(&self, sender: Option<SocketAddr>) -> bool {
        match (&self.trusted, sender) {
            (Some(trusted), Some(sender)) => trusted.contains(sender.ip()),
            _ => true,
        }
    }

    /// Whether a connection is that of a load balancer: its client is not known yet.
    pub(crate) fn is_balancer(&self, listener: u8, sender: Option<SocketAddr>) -> bool {
        self.mode(listener) != ProxyMode::Off && self.is_trusted(sender)
    }
}
