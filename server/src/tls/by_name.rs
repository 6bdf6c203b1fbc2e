//! The certificate for the name that a client asks for.

use std::{cell::RefCell, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Certificate;

thread_local! {
    /// The name that was asked for last on this thread.
    static ASKED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The name that was asked for last on this thread and that no certificate is for.
    static UNKNOWN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The name that the handshake that was just polled asked for in vain.
pub(super) fn take_unknown() -> Option<String> {
    UNKNOWN.take()
}

/// The name that the handshake that was just polled asked for, if it asked in that poll. rustls tells it to a
/// buffered session alone.
pub(crate) fn take_asked() -> Option<String> {
    ASKED.take()
}

/// Certificates by the name that a client sends (SNI).
///
/// A single certificate is for every name: clients check it themselves. Of several, the first is for clients that
/// send no name, and a name that none is for is refused.
#[derive(Debug)]
pub(super) struct ByName {
    certificates: Vec<(Vec<String>, Arc<CertifiedKey>)>,
}

impl ByName {
    /// Of these, at least one.
    pub(super) fn new(certificates: Vec<Certificate>) -> Self {
        let of = |certificate: Certificate| (certificate.names, Arc::new(certificate.key));
        Self { certificates: certificates.into_iter().map(of).collect() }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let first = self.certificates.first().map(|(_, key)| key);
        let Some(name) = name else { return first };
        if self.certificates.len() == 1 {
            return first;
        }
        let name = name.to_ascii_lowercase();
        let found = self.certificates.iter().find(|(names, _)| is_among(names, &name));
        found.map(|(_, key)| key)
    }
}

/// Whether the lower-case `name` is among those of a certificate, in which `*.` stands for one label.
pub(super) fn is_among(names: &[String], name: &str) -> bool {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    names
        .iter()
        .any(|own| own == name || own.strip_prefix("*.").is_some_and(|own| Some(own) == parent))
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        ASKED.set(name.map(str::to_owned));
        let found = self.find(name).cloned();
        if found.is_none() {
            UNKNOWN.set(name.map(str::to_owned));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::is_among;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let names = ["a.example".to_owned(), "*.b.example".to_owned()];
        for known in ["a.example", "x.b.example"] {
            assert!(is_among(&names, known), "{known}");
        }
        for unknown in ["b.example", "x.a.example", "x.y.b.example", "", "*"] {
            assert!(!is_among(&names, unknown), "{unknown}");
        }
    }
}
