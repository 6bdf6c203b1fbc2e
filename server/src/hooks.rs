//! What a program gives to its server beside settings.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use towline_middleware::{BoxError, heartbeat::PingWords};

use crate::Peer;

/// What a settings file cannot express: the words of pings, and the hooks of the program.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    pub(crate) ping_words: PingWords,
    pub(crate) on_service_error: Option<ServiceErrorHook>,
    /// Certificates that stand in no file.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Material>,
    /// The files of certificates are looked at while the server runs, without a reload of the settings.
    #[cfg(feature = "tls")]
    pub(crate) watches_tls: bool,
    /// Sessions start TLS, not connections.
    #[cfg(feature = "tls")]
    pub(crate) starts_tls_later: bool,
}

/// What is called with an error that ended a connection, and with its peer if the socket still has one.
#[derive(Clone)]
pub struct ServiceErrorHook(Arc<Hook>);

type Hook = dyn Fn(Option<Peer>, &BoxError) + Send + Sync;

impl ServiceErrorHook {
    pub(crate) fn new(hook: impl Fn(Option<Peer>, &BoxError) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Calls it. A panic in there is caught, because it would end the connection of the peer in disorder;
    /// the panic hook of the process has reported it.
    pub(crate) fn call(&self, peer: Option<Peer>, error: &BoxError) {
        let _ = catch_unwind(AssertUnwindSafe(|| (self.0)(peer, error)));
    }
}

impl fmt::Debug for ServiceErrorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceErrorHook")
    }
}
