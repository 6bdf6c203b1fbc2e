//! Checks a plan before anything is opened.

use super::{ClientBehavior, Mode, Plan};
use crate::error::LoadError;
use crate::host;
use crate::message::Message;
use crate::tls::TlsJob;

/// Descriptors of a process that are not connections: epolls, pipes, report files, the C library's own.
const DESCRIPTORS_RESERVED: u32 = 64;

impl Plan {
    /// Checks that the plan can be run on this host.
    ///
    /// # Errors
    /// The first problem found, with the value and what was expected.
    pub fn check(&self) -> Result<(), LoadError> {
        if self.targets.is_empty() {
            return Err(LoadError::usage("there is no target: expected at least one address"));
        }
        if self.connections == 0 {
            return Err(LoadError::usage("0 connections make no load: expected at least 1"));
        }
        if self.duration.is_zero() {
            return Err(LoadError::usage("a duration of 0 measures nothing: expected more"));
        }
        self.check_mode()?;
        self.check_messages()?;
        self.check_fanout()?;
        self.check_mix()?;
        TlsJob::new(self).map(drop)?;
        if self.threads == Some(0) || self.processes == Some(0) {
            return Err(LoadError::usage("0 threads or processes do nothing: expected at least 1"));
        }
        self.sources.addresses(&self.targets, self.connections).map(drop)?;
        self.process_count().map(drop)
    }

    /// The number of processes: as set, or as many as the descriptor limit makes necessary.
    ///
    /// # Errors
    /// When the number that is set cannot hold the connections.
    pub fn process_count(&self) -> Result<u32, LoadError> {
        let limit = host::descriptor_limit();
        let each = limit.saturating_sub(DESCRIPTORS_RESERVED).max(1);
        let needed = self.connections.div_ceil(each);
        match self.processes {
            None => Ok(needed),
            Some(asked) if asked >= needed => Ok(asked.min(self.loops_max()).max(needed)),
            Some(asked) => Err(LoadError::usage(format!(
                "{} connections in {asked} process(es) need more descriptors than the limit of {limit} \
                 per process (ulimit -Hn): expected --processes {needed} or auto",
                self.connections
            ))),
        }
    }

    /// Sentences about a plan that can be run but is probably not meant so, to be shown before the run.
    pub fn warnings(&self) -> Vec<String> {
        let ends = Message::parse(&self.message).is_ok_and(|m| m.ends_in_newline());
        if ends || self.mode != Mode::Flood {
            return Vec::new();
        }
        vec![format!(
            "the message `{}` has no newline at its end, so a line server never answers it: add \\n",
            self.message.escape_debug()
        )]
    }

    fn check_mode(&self) -> Result<(), LoadError> {
        match self.mode {
            Mode::PingPong { window: 0 } => {
                Err(LoadError::usage("a window of 0 lines sends nothing: expected at least 1"))
            }
            Mode::PingPong { window } if window > 1_000_000 => Err(LoadError::usage(format!(
                "a window of {window} lines is a flood: expected at most 1000000, or --mode flood"
            ))),
            _ => Ok(()),
        }
    }

    fn check_messages(&self) -> Result<(), LoadError> {
        let message = Message::parse(&self.message)?;
        let flood = matches!(self.mode, Mode::Flood);
        if !message.ends_in_newline() && (!flood || self.verify) {
            let why = if flood {
                "--verify tells replies apart by lines"
            } else {
                "it waits for whole lines"
            };
            return Err(LoadError::usage(format!(
                "the message `{}` does not end in a newline, and {} mode needs one ({why}): add \\n",
                self.message.escape_debug(),
                self.mode.name()
            )));
        }
        if let Some(expect) = &self.expect
            && !Message::parse(expect)?.ends_in_newline()
        {
            return Err(LoadError::usage(format!(
                "the expected reply `{}` does not end in a newline: add \\n",
                expect.escape_debug()
            )));
        }
        Ok(())
    }

    fn check_mix(&self) -> Result<(), LoadError> {
        let sum: u64 = self.mix.iter().map(|g| u64::from(g.connections)).sum();
        if !self.mix.is_empty() && sum != u64::from(self.connections) {
            return Err(LoadError::usage(format!(
                "the mix adds up to {sum} connections, but {} were asked for",
                self.connections
            )));
        }
        if self.connections_as(ClientBehavior::WellBehaved) < self.connections
            && self.bad_client_interval.is_zero()
        {
            return Err(LoadError::usage(
                "a persona interval of 0 would repeat without a pause: expected more",
            ));
        }
        Ok(())
    }
}
