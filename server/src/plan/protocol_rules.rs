//! What a protocol other than lines allows settings to be.

use std::any::TypeId;

use towline_config::{Framing, Settings};
use towline_middleware::protocol::{Lf, Protocol};
use towline_units::print_duration;

use crate::RunError;

/// The settings that the protocol of a server allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProtocolRules {
    has_ping: bool,
    is_lines: bool,
}

impl ProtocolRules {
    /// Lines allow everything.
    pub(crate) const LINES: Self = Self { has_ping: true, is_lines: true };

    /// The rules of `P`.
    pub(crate) fn of<P: Protocol>() -> Self {
        Self { has_ping: P::has_ping(), is_lines: TypeId::of::<P>() == TypeId::of::<Lf>() }
    }

    /// Checks `settings`, at start and at each reload.
    ///
    /// # Errors
    /// When they ask for something that the protocol does not have.
    pub(crate) fn check(self, settings: &Settings) -> Result<(), RunError> {
        if let Some(interval) = settings.heartbeat.interval
            && !self.has_ping
        {
            return Err(RunError::usage(format!(
                "heartbeat.interval = {} is refused: the protocol has no word for a ping, so only off \
                 is accepted",
                print_duration(interval)
            )));
        }
        if settings.workload.framing == Framing::Lines && !self.is_lines {
            return Err(RunError::usage(
                "workload.framing = \"lines\" is refused: the program serves another protocol than \
                 lines, so only \"batch\" is accepted"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}
