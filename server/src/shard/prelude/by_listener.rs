//! Which steps the connections of each listener take.

use std::sync::Arc;

use towline_config::ProxyMode;

use super::{Step, Steps, proxy::ProxyHeader};
use crate::{accept::ProxySenders, live_config::LiveConfig};

/// The steps by listener, as the configuration in force says.
#[derive(Debug, Default)]
pub(crate) struct StepsByListener(Vec<Option<Arc<Steps>>>);

impl StepsByListener {
    /// Those of all listeners.
    pub(crate) fn of(config: &LiveConfig) -> Self {
        let settings = &config.effective.settings;
        let timeouts = &settings.timeouts;
        let senders = ProxySenders::of(settings);
        let of_one = |listener| {
            // In this order: a PROXY header comes before TLS.
            let mut steps: Vec<Arc<dyn Step>> = Vec::new();
            let mode = settings.proxy_mode(listener);
            if mode != ProxyMode::Off {
                let (senders, deadline) = (senders.clone(), settings.proxy_protocol.deadline);
                steps.push(Arc::new(ProxyHeader { mode, senders, deadline }));
            }
            let steps = Steps { steps, deadline: timeouts.handshake, linger: timeouts.linger };
            (!steps.steps.is_empty()).then(|| Arc::new(steps))
        };
        // The last are those of listeners that are no entry of `server.listen`.
        Self((0..=settings.server.listen.len()).map(of_one).collect())
    }

    /// Those of the connections that came by the entry `listener` of `server.listen`; `None` if they are served at
    /// once.
    pub(crate) fn get(&self, listener: u8) -> Option<Arc<Steps>> {
        let last = self.0.len().checked_sub(1)?;
        self.0[usize::from(listener).min(last)].clone()
    }
}
