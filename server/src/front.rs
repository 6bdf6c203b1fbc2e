//! The side of a server that faces outward, however many processes serve behind it.

use std::sync::Arc;

use towline_config::Settings;

use crate::{
    accept::AcceptStats,
    exporter::Status,
    lifecycle::{Life, Stage},
    listen::Address,
    slots::Slots,
};

/// What is known at the door: who comes in, and what the whole is told to do.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) settings: Arc<Settings>,
    /// The effective configuration as JSON, secrets redacted.
    pub(crate) config_json: String,
    pub(crate) life: Life,
    /// All places of the server.
    pub(crate) slots: Arc<Slots>,
    pub(crate) accept: Arc<AcceptStats>,
    /// The TCP port lines are served on, to find its accept queue.
    pub(crate) port: Option<u16>,
}

impl Front {
    pub(crate) fn new(
        settings: Arc<Settings>,
        config_json: String,
        address: &Address,
        slots: Arc<Slots>,
    ) -> Self {
        let port = match address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        };
        let (life, accept) = (Life::new(), Arc::default());
        Self { settings, config_json, life, slots, accept, port }
    }

    /// What is published beside the numbers.
    pub(crate) fn status(&self) -> Status<'_> {
        Status {
            settings: &self.settings,
            connections_limit: self.slots.limit() as u64,
            draining: self.life.is(Stage::Draining),
        }
    }
}
