//! Listening sockets, with the options that their connections inherit.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::{Path, PathBuf},
};

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Socket, TcpKeepalive};
use towline_config::Settings;

use super::{Accepted, unix_socket::SocketFile};
use crate::RunError;

/// The index of a listener that is no entry of `server.listen`: no list is that long.
pub(super) const NO_ENTRY: usize = u8::MAX as usize;

/// A bound, listening, non-blocking socket.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
    pub(super) address: Address,
    /// Which entry of `server.listen` it is. One behind them all has the options of none.
    pub(super) index: usize,
    /// What metrics call it.
    pub(super) label: String,
    /// The socket's file, if this listener made it; it is removed with the listener.
    pub(super) _file: Option<SocketFile>,
    /// See [`unaccepted_max`](Self::unaccepted_max).
    pub(super) unaccepted_max: u32,
}

/// Where a [`Listener`] listens, with the real port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP address with its real port.
    Tcp(SocketAddr),
    /// The path of a UNIX socket.
    Unix(PathBuf),
}

impl Address {
    /// The address that `socket` is bound to.
    pub(super) fn of(socket: &Socket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(match address.as_socket() {
            Some(tcp) => Self::Tcp(tcp),
            None => Self::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()),
        })
    }
}

/// Where `listeners` listen, each address once.
pub fn addresses(listeners: &[Listener]) -> Vec<Address> {
    let mut addresses: Vec<Address> = Vec::new();
    for listener in listeners {
        if !addresses.contains(&listener.address) {
            addresses.push(listener.address.clone());
        }
    }
    addresses
}

/// The addresses as text, with commas between them.
pub(crate) fn shown(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Serves a listening socket that the caller bound. With `configure` sets the options of
    /// `settings.socket` on it, else none.
    ///
    /// # Errors
    /// When an option cannot be set.
    pub fn from_caller(socket: Socket, settings: &Settings, configure: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = Address::of(&socket)?;
        if configure && matches!(address, Address::Tcp(_)) {
            set_options(&socket, &settings.socket)?;
        }
        let (label, unaccepted_max) = (address.to_string(), settings.server.backlog);
        Ok(Self { socket, address, index: NO_ENTRY, label, _file: None, unaccepted_max })
    }

    /// Most connections that closing this socket would reset because they wait unaccepted in its
    /// queue: the backlog, or 0 for a socket that a service manager keeps open.
    pub const fn unaccepted_max(&self) -> u32 {
        self.unaccepted_max
    }

    /// Which entry of `server.listen` it is.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// What metrics call it: its name, or else its address.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts one connection, without blocking.
    ///
    /// # Errors
    /// Those of accept(2); `WouldBlock` when no connection waits.
    pub fn accept(&self) -> io::Result<Accepted> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, peer) = acceptfrom_with(&self.socket, flags)?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        Ok(Accepted { socket, peer, listener: self.index as u8 })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Sets the options of `socket.*`. Accepted sockets inherit them, so a connection costs no system call
/// for them.
pub(super) fn set_options(
    listener: &Socket,
    options: &towline_config::SocketOptions,
) -> io::Result<()> {
    listener.set_tcp_nodelay(options.nodelay)?;
    if let Some(idle) = options.keepalive {
        listener.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    listener.set_tcp_user_timeout(options.user_timeout)?;
    if let Some(bytes) = options.notsent_lowat {
        listener.set_tcp_notsent_lowat(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer.first_bytes() {
        listener.set_recv_buffer_size(bytes as usize)?;
    }
    Ok(())
}

pub(super) fn backlog(settings: &Settings) -> i32 {
    i32::try_from(settings.server.backlog).unwrap_or(i32::MAX)
}

/// Whether the port of an address is one that needs a capability.
fn is_privileged(address: &str) -> bool {
    let port = address.parse().map(|address: SocketAddr| address.port());
    port.is_ok_and(|port| (1..1024).contains(&port))
}

/// The sentence for an address that cannot be listened on.
pub(crate) fn describe(key: &str, address: &str, error: &io::Error) -> RunError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use by another process".to_owned(),
        io::ErrorKind::PermissionDenied if is_privileged(address) => {
            "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, expected a higher one"
                .to_owned()
        }
        io::ErrorKind::NotFound => "its directory does not exist".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this host has that address".to_owned(),
        _ => error.to_string(),
    };
    RunError::usage(format!("{key} = \"{address}\" cannot be listened on: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any refusal was told as that of a port below 1024: of a socket option, on port 0 too.
    #[test]
    fn the_capability_is_named_for_the_ports_that_need_it_alone() {
        for (address, named) in [
            ("127.0.0.1:80", true),
            ("[::]:1023", true),
            ("127.0.0.1:0", false),
            ("127.0.0.1:1024", false),
            ("unix:/run/towline.sock", false),
        ] {
            let refused = io::Error::from(io::ErrorKind::PermissionDenied);
            let sentence = describe("server.listen", address, &refused).to_string();
            assert!(sentence.contains("permission denied"), "{sentence}");
            assert!(sentence.contains(address), "{sentence}");
            assert_eq!(sentence.contains("CAP_NET_BIND_SERVICE"), named, "{sentence}");
        }
    }
}
