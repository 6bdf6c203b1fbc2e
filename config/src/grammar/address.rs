//! Addresses and paths.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::Grammar;
use crate::{error::ValueError, value::Value};

pub(super) const EXAMPLES: &str = "an IP address with a port, such as 127.0.0.1:9000 or [::]:9000";

/// `IP:PORT`. Host names are not resolved, because a name may have several addresses. Only
/// `localhost` is accepted, as `127.0.0.1`.
#[derive(Debug)]
pub(crate) struct Address;

impl Grammar<SocketAddr> for Address {
    fn parse(&self, text: &str) -> Result<SocketAddr, ValueError> {
        if text.is_empty() {
            return Err(ValueError::EMPTY);
        }
        if let Some(Ok(port)) = text.strip_prefix("localhost:").map(str::parse) {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        text.parse().map_err(|_error| ValueError::new(what_is_wrong(text)))
    }

    fn print(&self, value: &SocketAddr) -> Value {
        Value::text(value.to_string())
    }

    fn expected(&self) -> String {
        EXAMPLES.into()
    }

    fn placeholder(&self) -> String {
        "ADDR".into()
    }
}

/// Names the most common mistakes.
fn what_is_wrong(text: &str) -> &'static str {
    let Some((host, port)) = text.rsplit_once(':') else {
        return "has no port";
    };
    if host.is_empty() || host == "*" {
        return "has no address (0.0.0.0 or [::] listens on all)";
    }
    let all_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits && port.parse::<u16>().is_err() {
        return "has a port above 65535";
    }
    "is not an address"
}

/// The absolute path of a UNIX socket.
#[derive(Debug)]
pub(crate) struct SocketPath;

impl SocketPath {
    /// Longest path that `sockaddr_un` holds, its terminator excluded.
    const PATH_BYTES_MAX: usize = 107;
}

impl Grammar<PathBuf> for SocketPath {
    fn parse(&self, text: &str) -> Result<PathBuf, ValueError> {
        if text.is_empty() {
            return Err(ValueError::EMPTY);
        }
        if !text.starts_with('/') {
            return Err(ValueError::new("is not an absolute path"));
        }
        if text.len() > Self::PATH_BYTES_MAX {
            let max = Self::PATH_BYTES_MAX;
            return Err(ValueError::new(format!("has a path of more than {max} bytes")));
        }
        Path.parse(text)
    }

    fn print(&self, value: &PathBuf) -> Value {
        Path.print(value)
    }

    fn expected(&self) -> String {
        "the absolute path of a socket, such as /run/towline/admin.sock".into()
    }

    fn placeholder(&self) -> String {
        "PATH".into()
    }
}

/// The path of a file.
#[derive(Debug)]
pub(crate) struct Path;

impl Grammar<PathBuf> for Path {
    fn parse(&self, text: &str) -> Result<PathBuf, ValueError> {
        if text.is_empty() {
            return Err(ValueError::EMPTY);
        }
        if text.contains('\0') {
            return Err(ValueError::new("has a NUL byte"));
        }
        Ok(PathBuf::from(text))
    }

    fn print(&self, value: &PathBuf) -> Value {
        Value::text(value.display().to_string())
    }

    fn expected(&self) -> String {
        "the path of a file".into()
    }

    fn placeholder(&self) -> String {
        "FILE".into()
    }
}
