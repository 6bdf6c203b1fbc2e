//! Starts servers that are not written for benchmarks: they are told a port, and do not say when they listen.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{Error, child::Server};

/// Longest wait for a server's start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// redis-server without persistence.
pub(crate) fn redis(port: &str) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"]);
    command.args(["--maxclients", "15000"]);
    command
}

/// Starts a server that does not say where it listens; `Ok(None)` if there is no such program.
pub(crate) fn start_at(command: &mut Command, at: SocketAddr) -> Result<Option<Server>, Error> {
    let program = Path::new(command.get_program()).to_owned();
    if program.components().count() == 1 && !is_in_path(&program) {
        return Ok(None);
    }
    Server::start_at(command, at, START_TIMEOUT).map(Some)
}

/// Whether a program of this name can be called.
fn is_in_path(program: &Path) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .any(|dir| dir.join(program).exists())
}

/// A port that was free a moment ago, for servers that cannot choose one and say so.
pub(crate) fn free_port() -> Result<(String, SocketAddr), Error> {
    let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    Ok((at.port().to_string(), at))
}
