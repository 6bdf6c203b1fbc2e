//! A server as the test kit needs it, without being started.

use towline_config::{Effective, Heartbeat};

use super::{Server, program::Staged};
use crate::{RunError, hooks::Hooks, stack::StackParts};

impl Server {
    /// What serves its connections without sockets, with the stack that `stack` makes of its settings.
    pub(crate) fn stage(
        self,
        stack: impl FnOnce(&Effective, &Hooks) -> StackParts,
    ) -> Result<Staged, RunError> {
        let Self { mut builder, protocol, program } = self;
        let protocol = protocol.with_ping(builder.hooks.ping_words.get_ping())?;
        let effective = builder.take_settings(protocol)?;
        let framing = effective.settings.workload.framing;
        program.stage(stack(&effective, &builder.hooks), framing)
    }

    /// The same server without a heartbeat.
    pub(crate) fn without_heartbeat(mut self) -> Self {
        self.builder = self.builder.heartbeat(Heartbeat::off());
        self
    }

    /// What ends the lines of its protocol; empty if it has none.
    pub(crate) fn end_of_line(&self) -> &'static [u8] {
        self.program.end_of_line()
    }

    /// The same server on a free port of this host.
    pub(crate) fn on_free_port(mut self) -> Self {
        self.builder = self.builder.listen("127.0.0.1:0");
        self
    }
}
