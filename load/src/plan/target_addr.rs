//! The address of a server under load.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// The address that connections connect to: a TCP address or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetAddr {
    /// A TCP address.
    Tcp {
        /// `HOST:PORT` as given.
        name: String,
        /// The first address that the name resolved to.
        address: SocketAddr,
    },
    /// The path of a Unix stream socket.
    Unix(PathBuf),
}

impl TargetAddr {
    /// Parses `HOST:PORT` or `unix:/path`, and resolves the host. Blocks for the name lookup.
    ///
    /// # Errors
    /// [`LoadError::Usage`] if there is no port, [`LoadError::Failed`] if the name has no address.
    pub fn resolve(name: &str) -> Result<Self, LoadError> {
        if let Some(path) = name.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(LoadError::usage("`unix:` has no path: expected unix:/path/to/socket"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let port = name.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(LoadError::usage(format!(
                "`{name}` is not an address: expected HOST:PORT with a port from 1 to 65535, or unix:/path"
            )));
        }
        let found = name.to_socket_addrs().map(|mut all| all.next());
        match found {
            Ok(Some(address)) => Ok(Self::Tcp { name: name.to_owned(), address }),
            Ok(None) => Err(LoadError::failed(format!("`{name}` has no address"))),
            Err(error) => Err(LoadError::failed(format!("`{name}` cannot be resolved: {error}"))),
        }
    }

    /// Whether the target is on this host's IPv4 loopback, and so reachable from all of 127.0.0.0/8.
    pub(crate) fn is_ipv4_loopback(&self) -> bool {
        matches!(self, Self::Tcp { address, .. } if address.is_ipv4() && address.ip().is_loopback())
    }
}

impl From<SocketAddr> for TargetAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { name: address.to_string(), address }
    }
}

impl fmt::Display for TargetAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, .. } => f.write_str(name),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_host_and_a_port() {
        for bad in
            ["", "9000", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", "unix:"]
        {
            let error = TargetAddr::resolve(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}: {error}");
        }
        assert!(TargetAddr::resolve("127.0.0.1:9000").unwrap().is_ipv4_loopback());
        assert_eq!(TargetAddr::resolve("unix:/run/x").unwrap().to_string(), "unix:/run/x");
    }
}
