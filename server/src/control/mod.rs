//! Commands to a running server, apart from how they arrive: the admin endpoint has the HTTP of it.
//!
//! Each command takes a JSON object and answers with one, or with a sentence. Unknown fields and values of
//! another type are refused.
//!
//! | file | holds |
//! |---|---|
//! | `body.rs` | the arguments of a command, read from JSON |
//! | `refused.rs` | why a command was not executed |
//! | `set.rs`, `log.rs`, `reload.rs` | changes of settings |
//! | `drain.rs` | draining the server |
//! | `stats.rs` | the main figures |

mod body;
mod drain;
mod log;
mod refused;
mod reload;
mod set;
pub(crate) mod stats;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::refused::{Refusal, Refused};
use crate::lifecycle::{Stage, reload::Reloadable};

/// A server that takes commands: this process, or several processes and their supervisor.
pub trait Controllable: Reloadable + Send + Sync + 'static {}

impl<S: Controllable> Controllable for Arc<S> {}

/// Largest body of a command: some thousands of ids.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Drain,
    Log,
    Reload,
    Set,
}

impl Command {
    const ALL: [(&'static str, Self); 4] =
        [("drain", Self::Drain), ("log", Self::Log), ("reload", Self::Reload), ("set", Self::Set)];

    /// The command `name`.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, command)| *command)
    }

    /// The names of all commands, as words of a sentence.
    pub(crate) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// Executes it.
    pub(crate) async fn run(
        self,
        server: &impl Controllable,
        body: &[u8],
    ) -> Result<Value, Refused> {
        match self {
            Self::Drain => drain::run(server, body),
            Self::Log => log::run(server, body).await,
            Self::Reload => reload::run(server, body).await,
            Self::Set => set::run(server, body).await,
        }
    }
}

/// Refuses what makes no sense once a server drains.
fn unless_draining(server: &impl Reloadable) -> Result<(), Refused> {
    if server.state().lifecycle.is(Stage::Draining) {
        return Err(Refused::now_is_no_time("the server is draining"));
    }
    Ok(())
}
