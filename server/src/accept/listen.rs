//! Listening sockets, with the options that their connections inherit.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::{Path, PathBuf},
};

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use towline_config::{Listen, Settings};

use super::{Accepted, unix_socket::SocketFile};
use crate::RunError;

/// Most listening sockets that share one port.
pub(crate) const QUEUES_MAX: usize = 64;

/// A bound, listening, non-blocking socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    /// The socket's file, if this listener made it; it is removed with the listener.
    _file: Option<SocketFile>,
    /// See [`unaccepted_max`](Self::unaccepted_max).
    unaccepted_max: u32,
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
    fn of(socket: &Socket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(match address.as_socket() {
            Some(tcp) => Self::Tcp(tcp),
            None => Self::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()),
        })
    }
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
    /// Binds `server.listen` and listens.
    fn bind(settings: &Settings) -> Result<Self, RunError> {
        match &settings.server.listen {
            Listen::Tcp(address) => Self::bind_tcp(*address, settings, false)
                .map_err(|error| describe("server.listen", &address.to_string(), &error)),
            Listen::Unix(path) => Self::bind_unix(path, settings).map_err(|error| {
                describe("server.listen", &format!("unix:{}", path.display()), &error)
            }),
            other => Err(RunError::usage(format!("server.listen: {other:?} is not supported"))),
        }
    }

    /// Serves the socket `passed` by a service manager, or else binds `server.listen`: with `queues`
    /// sockets on a TCP port, at most 64, and with one on a UNIX socket.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the passed socket cannot be served.
    pub fn open(
        settings: &Settings,
        passed: Option<Socket>,
        queues: usize,
    ) -> Result<Vec<Self>, RunError> {
        match (passed, queues) {
            (Some(socket), _) => Ok(vec![Self::passed(socket, settings)?]),
            (None, 1) => Ok(vec![Self::bind(settings)?]),
            (None, queues) => Self::bind_queues(settings, queues),
        }
    }

    /// Binds several sockets to one TCP port. The kernel spreads connections over them: one accept
    /// queue, bounded by net.core.somaxconn, is often too short for the connections of many processes.
    fn bind_queues(settings: &Settings, queues: usize) -> Result<Vec<Self>, RunError> {
        // First without SO_REUSEPORT: with it, the port of another server would be shared as well.
        let exclusive = Self::bind(settings)?;
        let Address::Tcp(address) = exclusive.address else { return Ok(vec![exclusive]) };
        drop(exclusive);
        let bound: io::Result<_> =
            (0..queues.min(QUEUES_MAX)).map(|_| Self::bind_tcp(address, settings, true)).collect();
        bound.map_err(|error| describe("server.listen", &address.to_string(), &error))
    }

    fn bind_tcp(address: SocketAddr, settings: &Settings, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        set_options(&socket, &settings.socket)?;
        socket.bind(&address.into())?;
        socket.listen(backlog(settings))?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        let unaccepted_max = settings.server.backlog;
        Ok(Self { socket, address: Address::Tcp(address), _file: None, unaccepted_max })
    }

    fn bind_unix(path: &Path, settings: &Settings) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        let file = SocketFile::listen(&socket, path, backlog(settings))?;
        let address = Address::Unix(path.to_owned());
        let unaccepted_max = settings.server.backlog;
        Ok(Self { socket, address, _file: Some(file), unaccepted_max })
    }

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
        Ok(Self { socket, address, _file: None, unaccepted_max: settings.server.backlog })
    }

    /// Serves a listening socket that a service manager made and keeps.
    fn passed(socket: Socket, settings: &Settings) -> Result<Self, RunError> {
        let apply = || {
            socket.set_nonblocking(true)?;
            // Sets the queue's length to `server.backlog`, whatever the manager's unit says.
            socket.listen(backlog(settings))?;
            let address = Address::of(&socket)?;
            if matches!(address, Address::Tcp(_)) {
                set_options(&socket, &settings.socket)?;
            }
            Ok(address)
        };
        let address = apply()
            .map_err(|error| RunError::failed("the passed socket cannot be served", &error))?;
        Ok(Self { socket, address, _file: None, unaccepted_max: 0 })
    }

    /// Most connections that closing this socket would reset because they wait unaccepted in its
    /// queue: the backlog, or 0 for a socket that a service manager keeps open.
    pub const fn unaccepted_max(&self) -> u32 {
        self.unaccepted_max
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
        Ok(Accepted { socket, peer: peer.and_then(|peer| SocketAddr::try_from(peer).ok()) })
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

fn backlog(settings: &Settings) -> i32 {
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
    use socket2::SockRef;

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

    /// Only listeners that the server had bound itself got the options, so a connection of
    /// `towline::serve` held small replies back until the peer acknowledged the ones before.
    #[test]
    fn connections_inherit_the_options_of_a_listener() {
        let mut settings = Settings::default();
        settings.server.listen = Listen::Tcp(([127, 0, 0, 1], 0).into());
        let callers = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listeners = [
            Listener::bind(&settings).expect("a free port"),
            Listener::from_caller(callers.into(), &settings, true).expect("a listener"),
        ];
        for listener in listeners {
            let Address::Tcp(address) = *listener.address() else { panic!("it is TCP") };
            let _peer = std::net::TcpStream::connect(address).expect("it listens");
            let accepted = listener.accept().expect("a connection waits");
            let socket = SockRef::from(&accepted.socket);
            assert!(socket.tcp_nodelay().expect("it is TCP"));
            assert!(socket.keepalive().expect("it is TCP"));
            assert_eq!(socket.tcp_user_timeout().expect("TCP"), settings.socket.user_timeout);
            assert_eq!(socket.tcp_notsent_lowat().ok(), settings.socket.notsent_lowat);
            // Linux doubles the value, for its own overhead.
            let receive = socket.recv_buffer_size().ok().map(|bytes| bytes as u32 / 2);
            assert_eq!(receive, settings.socket.receive_buffer.first_bytes());
        }
    }
}
