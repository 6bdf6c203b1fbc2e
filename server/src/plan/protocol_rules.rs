//! What a protocol other than lines allows settings to be.

use std::{
    any::{TypeId, type_name},
    time::Duration,
};

use towline_config::{Framing, Settings};
use towline_middleware::protocol::{BytesMut, Lf, Notice, Protocol};
use towline_units::print_duration;

use crate::RunError;

/// The settings that the protocol of a server allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProtocolRules {
    has_ping: bool,
    is_lines: bool,
    half_close: Option<Duration>,
    /// Its type, without the path and the parameters.
    name: &'static str,
    /// How it says the server's own words.
    pub notice: fn(&Notice<'_>, &mut BytesMut),
}

impl ProtocolRules {
    /// Lines allow everything.
    pub(crate) const LINES: Self = Self {
        has_ping: true,
        is_lines: true,
        half_close: Lf::HALF_CLOSE,
        name: "Lf",
        notice: Lf::notice,
    };

    /// The rules of `P`.
    pub(crate) fn of<P: Protocol>() -> Self {
        let is_lines = TypeId::of::<P>() == TypeId::of::<Lf>();
        let path = type_name::<P>().split('<').next().unwrap_or_default();
        let name = path.rsplit("::").next().unwrap_or_default();
        let (has_ping, half_close) = (P::has_ping(), P::HALF_CLOSE);
        Self { has_ping, is_lines, half_close, name, notice: P::notice }
    }

    /// Sets what the protocol says otherwise than the defaults, before the program's own changes.
    pub(crate) fn adapt_defaults(self, settings: &mut Settings) {
        settings.timeouts.half_close = self.half_close;
    }

    /// The rules with a ping that the program gave, if it did.
    ///
    /// # Errors
    /// When it is not a whole frame, as far as that can be seen: the server's own words end in a newline, and
    /// it does not, so that the next reply would be part of it.
    pub(crate) fn with_ping(mut self, ping: Option<&[u8]>) -> Result<Self, RunError> {
        let Some(ping) = ping else { return Ok(self) };
        let mut words = BytesMut::new();
        (self.notice)(&Notice::Timeout, &mut words);
        if ping.is_empty() || words.ends_with(b"\n") && !ping.ends_with(b"\n") {
            return Err(RunError::usage(format!(
                "the ping \"{}\" is refused: expected a whole frame, terminator included",
                ping.escape_ascii()
            )));
        }
        self.has_ping = true;
        Ok(self)
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
                "heartbeat.interval = {} is refused: the protocol {} has no word for a ping, so only off \
                 is accepted, unless Builder::ping gives it one",
                print_duration(interval),
                self.name
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
