//! Runs redis-benchmark, a program of the package `redis-tools`.

use std::{net::SocketAddr, process::Command};

use crate::{
    Error,
    child::{LOAD_CORE, on_core},
};

/// Keys that requests choose from.
const KEYS: &str = "100000";

/// Sends `requests` requests.
///
/// # Errors
/// When there is no redis-benchmark, or it ends with an error.
pub(super) fn run(
    server: SocketAddr,
    command: &str,
    pipeline: u32,
    connections: u32,
    requests: u64,
) -> Result<(), Error> {
    let mut program = Command::new("redis-benchmark");
    program.args(["-h", &server.ip().to_string(), "-p", &server.port().to_string(), "-q", "-e"]);
    program.args(["--csv", "-t", command, "-r", KEYS, "-d", "16"]);
    program.args(["-P", &pipeline.to_string(), "-c", &connections.to_string()]);
    program.args(["-n", &requests.to_string()]);
    let done = on_core(LOAD_CORE, || program.output())
        .map_err(|error| format!("no redis-benchmark (Debian package redis-tools): {error}"))?;
    let (said, wrong) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.success() && !said.contains("Error from server") {
        return Ok(());
    }
    Err(format!("redis-benchmark ended with {}: {said}{wrong}", done.status).into())
}
