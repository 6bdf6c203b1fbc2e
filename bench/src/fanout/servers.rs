//! The servers of `towline-bench fanout`, and how the load speaks to them.

use std::{path::PathBuf, process::Command, time::Duration};

use crate::{
    Error,
    c_programs::CPrograms,
    child::Server,
    foreign::{free_port, redis, start_at},
};

/// Longest wait for a server's start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A server with publishers and subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FanoutServer {
    /// The library's example `pubsub`.
    Towline,
    /// A loop over `send`: `peers/fanout.c`.
    C,
    Redis,
    Nats,
    /// `tokio::broadcast` and `Framed`: `src/chat.rs`.
    TokioBroadcast,
}

impl FanoutServer {
    pub(crate) const ALL: [Self; 5] =
        [Self::Towline, Self::C, Self::Redis, Self::Nats, Self::TokioBroadcast];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Towline => "towline pubsub",
            Self::C => "C, loop over send",
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
            Self::TokioBroadcast => "tokio::broadcast",
        }
    }

    /// What `towline load` calls its protocol.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Towline | Self::Redis => "resp",
            Self::Nats => "nats",
            Self::C | Self::TokioBroadcast => "lines",
        }
    }

    /// A command that every connection may send at any time, and its reply; `None` if a server greets its
    /// clients first, so that replies cannot be told from that.
    pub(crate) fn ping(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Towline | Self::Redis => Some(("PING\\r\\n", "+PONG\\r\\n")),
            Self::C | Self::TokioBroadcast => Some(("PING\\n", "OK\\n")),
            Self::Nats => None,
        }
    }
}

/// Where the servers are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) compiled: CPrograms,
    /// The library's example `pubsub`.
    pub(crate) pubsub: Option<PathBuf>,
}

impl Programs {
    /// Starts a server on the servers' core. `Ok(None)` says that this host does not have it.
    pub(crate) fn start(&self, server: FanoutServer) -> Result<Option<Server>, Error> {
        let (port, at) = free_port()?;
        let mut command = match server {
            FanoutServer::C => {
                let mut command = Command::new(self.compiled.path("c-fanout"));
                return Server::start(&mut command, START_TIMEOUT).map(Some);
            }
            FanoutServer::TokioBroadcast => {
                let mut command = Command::new(std::env::current_exe()?);
                return Server::start(command.arg("chat"), START_TIMEOUT).map(Some);
            }
            FanoutServer::Towline => {
                let Some(path) = &self.pubsub else { return Ok(None) };
                let mut command = Command::new(path);
                command.arg(at.to_string());
                command
            }
            FanoutServer::Redis => redis(&port),
            FanoutServer::Nats => {
                let mut command = Command::new("nats-server");
                command.args(["-a", "127.0.0.1", "-p", &port]);
                command
            }
        };
        start_at(&mut command, at)
    }
}
