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
//! | `kill.rs` | closing connections, by id or by conditions |
//! | `drain.rs` | draining the server, or a share of its connections |
//! | `stats.rs` | the main figures |

mod body;
mod drain;
mod kill;
mod log;
mod refused;
mod reload;
mod set;
pub(crate) mod stats;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::refused::{Refusal, Refused};
use crate::{
    connections::{Closed, Closing, Filter, Rows, WantedRows},
    counts::PublicId,
    lifecycle::{Stage, reload::Reloadable},
};

/// A server that takes commands: this process, or several processes and their supervisor.
pub trait Controllable: Reloadable + Send + Sync + 'static {
    /// Every open connection.
    fn rows(&self, wanted: WantedRows) -> impl Future<Output = Rows> + Send;

    /// Asks connections to close.
    fn close(&self, ids: &[PublicId], how: Closing) -> impl Future<Output = Closed> + Send;
}

impl<S: Controllable> Controllable for Arc<S> {
    async fn rows(&self, wanted: WantedRows) -> Rows {
        S::rows(self, wanted).await
    }

    async fn close(&self, ids: &[PublicId], how: Closing) -> Closed {
        S::close(self, ids, how).await
    }
}

/// What commands are executed on: a server, and what finds its connections.
pub(crate) trait Target: Send + Sync + 'static {
    type Server: Controllable;

    fn server(&self) -> &Self::Server;

    /// The open connections that meet all conditions.
    fn find(&self, filter: &Filter) -> impl Future<Output = Matching> + Send;
}

/// Connections that were looked for.
#[derive(Debug)]
pub(crate) struct Matching {
    pub(crate) ids: Vec<PublicId>,
    /// A process or the kernel did not answer, so that some may be missing.
    pub(crate) partial: bool,
}

/// Largest body of a command: some thousands of ids.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Drain,
    Kill,
    Log,
    Reload,
    Set,
}

impl Command {
    const ALL: [(&'static str, Self); 5] = [
        ("drain", Self::Drain),
        ("kill", Self::Kill),
        ("log", Self::Log),
        ("reload", Self::Reload),
        ("set", Self::Set),
    ];

    /// The command `name`.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, command)| *command)
    }

    /// The names of all commands, as words of a sentence.
    pub(crate) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// Executes it.
    pub(crate) async fn run<T: Target>(
        self,
        target: &Arc<T>,
        body: &[u8],
    ) -> Result<Value, Refused> {
        let server = target.server();
        match self {
            Self::Drain => drain::run(target, body).await,
            Self::Kill => kill::run(&**target, body).await,
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
