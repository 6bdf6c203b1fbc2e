//! The servers of `towline-bench wire`.

use std::{path::PathBuf, process::Command};

use crate::{
    Error,
    child::Server,
    foreign::{free_port, redis, start_at},
    launcher::{find_beside, find_example},
};

/// Whose clients a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clients {
    Redis,
    Memcached,
}

/// A server. Those of the same clients are compared; the first of them is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireServer {
    /// The library's example `kv`.
    Kv,
    Redis,
    /// The crate `redcon`, with the store of its README.
    Redcon,
    /// The crate `mini-redis`.
    MiniRedis,
    /// The library's example `memcached`.
    MemcachedExample,
    Memcached,
}

impl WireServer {
    pub(super) const ALL: [Self; 6] = [
        Self::Kv,
        Self::Redis,
        Self::Redcon,
        Self::MiniRedis,
        Self::MemcachedExample,
        Self::Memcached,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kv => "towline kv",
            Self::Redis => "redis-server",
            Self::Redcon => "crate redcon",
            Self::MiniRedis => "crate mini-redis",
            Self::MemcachedExample => "towline memcached",
            Self::Memcached => "memcached",
        }
    }

    pub(super) fn clients(self) -> Clients {
        match self {
            Self::Kv | Self::Redis | Self::Redcon | Self::MiniRedis => Clients::Redis,
            Self::MemcachedExample | Self::Memcached => Clients::Memcached,
        }
    }

    /// Where the program comes from.
    pub(super) fn comes_from(self) -> &'static str {
        match self {
            Self::Kv => "`cargo build --release -p towline --example kv`",
            Self::MemcachedExample => "`cargo build --release -p towline --example memcached`",
            Self::Redis => "Debian package `redis-server`",
            Self::Memcached => "Debian package `memcached`",
            Self::Redcon | Self::MiniRedis => "build `bench/redis-crates`",
        }
    }
}

/// Where the programs are that this repository builds; `None` for those that are not built.
#[derive(Debug)]
pub(crate) struct Programs {
    kv: Option<PathBuf>,
    memcached: Option<PathBuf>,
    redcon: Option<PathBuf>,
    mini_redis: Option<PathBuf>,
}

impl Programs {
    /// The programs given, or those that Cargo put beside this one.
    pub(crate) fn find(kv: Option<PathBuf>, memcached: Option<PathBuf>) -> Self {
        Self {
            kv: find_example(kv, "kv"),
            memcached: find_example(memcached, "memcached"),
            redcon: find_beside("redcon-kv"),
            mini_redis: find_beside("mini-redis-kv"),
        }
    }

    /// Starts a server on the servers' core. `Ok(None)` says that this host does not have it.
    pub(super) fn start(&self, server: WireServer) -> Result<Option<Server>, Error> {
        let (port, at) = free_port()?;
        let ours = match server {
            WireServer::Kv => &self.kv,
            WireServer::Redcon => &self.redcon,
            WireServer::MiniRedis => &self.mini_redis,
            WireServer::MemcachedExample => &self.memcached,
            WireServer::Redis => return start_at(&mut redis(&port), at),
            WireServer::Memcached => {
                let mut command = Command::new("memcached");
                // One thread, and as root it wants a user.
                command.args([
                    "-l",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    "0",
                    "-t",
                    "1",
                    "-u",
                    "nobody",
                ]);
                return start_at(&mut command, at);
            }
        };
        let Some(path) = ours else { return Ok(None) };
        start_at(Command::new(path).arg(at.to_string()), at)
    }
}
