//! Which steps the connections of each listener take.

use std::sync::Arc;

use super::{Step, Steps};
use crate::live_config::LiveConfig;

/// The steps by listener, as the configuration in force says.
#[derive(Debug, Default)]
pub(crate) struct StepsByListener(Vec<Option<Arc<Steps>>>);

impl StepsByListener {
    /// Those of all listeners.
    pub(crate) fn of(config: &LiveConfig) -> Self {
        let settings = &config.effective.settings;
        let timeouts = &settings.timeouts;
        let of_one = |_listener| {
            // In this order: a PROXY header comes before TLS.
            let steps: Vec<Arc<dyn Step>> = Vec::new();
            let steps = Steps { steps, deadline: timeouts.handshake, linger: timeouts.linger };
            (!steps.steps.is_empty()).then(|| Arc::new(steps))
        };
        Self(settings.server.listen.iter().map(of_one).collect())
    }

    /// Those of the connections that came by the entry `listener` of `server.listen`; `None` if they are served at
    /// once.
    pub(crate) fn get(&self, listener: u8) -> Option<Arc<Steps>> {
        self.0.get(usize::from(listener))?.clone()
    }
}
