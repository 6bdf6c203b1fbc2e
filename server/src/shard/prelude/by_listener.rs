//! Which steps the connections of each listener take.

use std::sync::Arc;

use tokio::sync::Semaphore;
use towline_config::{ProxyMode, Settings};

use super::{Step, Steps, proxy::ProxyHeader};
use crate::{accept::ProxySenders, live_config::LiveConfig};

/// The steps by listener, as the configuration in force says.
#[derive(Debug)]
pub(crate) struct StepsByListener {
    steps: Vec<Option<Arc<Steps>>>,
    /// Turns in which steps compute, of those that take long.
    turns: Arc<Semaphore>,
}

impl StepsByListener {
    /// Those of all listeners, of which `at_once` may compute at a time: as many as threads serve them.
    pub(crate) fn new(config: &LiveConfig, at_once: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_once.max(1)));
        let mut by_listener = Self { steps: Vec::new(), turns };
        by_listener.update(config);
        by_listener
    }

    /// Takes over a change. Connections that have begun go on as they began.
    pub(crate) fn update(&mut self, config: &LiveConfig) {
        let settings = &config.effective.settings;
        let timeouts = &settings.timeouts;
        let senders = ProxySenders::of(settings);
        let of_one = |listener: usize| {
            // In this order: a PROXY header comes before TLS.
            let mut steps: Vec<Arc<dyn Step>> = Vec::new();
            let mode = settings.proxy_mode(listener);
            if mode != ProxyMode::Off {
                let (senders, deadline) = (senders.clone(), settings.proxy_protocol.deadline);
                steps.push(Arc::new(ProxyHeader { mode, senders, deadline }));
            }
            if speaks_tls(settings, listener) {
                steps.extend(self.tls(config));
            }
            let steps = Steps { steps, deadline: timeouts.handshake, linger: timeouts.linger };
            (!steps.steps.is_empty()).then(|| Arc::new(steps))
        };
        // The last are those of listeners that are no entry of `server.listen`.
        self.steps = (0..=settings.server.listen.len()).map(of_one).collect();
    }

    #[cfg(feature = "tls")]
    fn tls(&self, config: &LiveConfig) -> Option<Arc<dyn Step>> {
        let tls = config.tls.as_ref()?;
        if config.starts_tls_later {
            return Some(Arc::new(crate::shard::tls::LaterHandshake(tls.server.clone())));
        }
        Some(Arc::new(crate::shard::tls::Handshake::new(tls.server.clone(), self.turns.clone())))
    }

    /// It is not built in, and refused at the start.
    #[cfg(not(feature = "tls"))]
    fn tls(&self, _: &LiveConfig) -> Option<Arc<dyn Step>> {
        debug_assert!(self.turns.available_permits() > 0);
        None
    }

    /// Those of the connections that came by the entry `listener` of `server.listen`; `None` if they are served at
    /// once.
    pub(crate) fn get(&self, listener: u8) -> Option<Arc<Steps>> {
        let last = self.steps.len().checked_sub(1)?;
        self.steps[usize::from(listener).min(last)].clone()
    }
}

/// Whether the connections of a listener speak TLS, if any do.
fn speaks_tls(settings: &Settings, listener: usize) -> bool {
    settings.server.listen.get(listener).is_none_or(|listener| listener.tls != Some(false))
}
