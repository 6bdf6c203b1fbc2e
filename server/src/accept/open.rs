//! Opens the listeners of a server: those of `server.listen`, or those that a service manager passes.

use std::{io, net::SocketAddr, path::Path};

use rustix::fs::{Gid, Mode, Uid, chown, fchmod};
use socket2::{Domain, Protocol, Socket, Type};
use towline_config::{Listen, ListenerSettings, Settings};
use towline_host::accounts;

use super::{
    listen::{Address, Listener, NO_ENTRY, backlog, describe, set_options},
    unix_socket::SocketFile,
};
use crate::RunError;

/// Most listening sockets of a server; the budget of descriptors has room for them.
const QUEUES_MAX: usize = 64;

/// A listening socket that a service manager made and keeps.
#[derive(Debug)]
pub struct PassedSocket {
    /// What the manager calls it.
    pub name: Option<String>,
    /// The socket.
    pub socket: Socket,
}

impl Listener {
    /// Serves the sockets `passed` by a service manager, or else binds each entry of `server.listen`: with `queues`
    /// sockets on a TCP port, at most 64 in all, and with one on a UNIX socket.
    ///
    /// A passed socket has the options of the entry of its name, or else of its address.
    ///
    /// # Errors
    /// When an address cannot be listened on, or a passed socket cannot be served.
    pub fn open(
        settings: &Settings,
        passed: Vec<PassedSocket>,
        queues: usize,
    ) -> Result<Vec<Self>, RunError> {
        if !passed.is_empty() {
            return passed.into_iter().map(|passed| Self::passed(passed, settings)).collect();
        }
        let queues_each = queues.min((QUEUES_MAX / settings.server.listen.len().max(1)).max(1));
        let mut listeners = Vec::new();
        for (index, entry) in settings.server.listen.iter().enumerate() {
            let bound = Self::bind(entry, settings, queues_each)
                .map_err(|error| describe("server.listen", &entry.address.to_string(), &error))?;
            listeners.extend(bound.into_iter().map(|listener| Self {
                index,
                label: entry.name.clone().unwrap_or(listener.label),
                ..listener
            }));
        }
        Ok(listeners)
    }

    fn bind(entry: &ListenerSettings, settings: &Settings, queues: usize) -> io::Result<Vec<Self>> {
        match &entry.address {
            Listen::Tcp(address) if queues == 1 => {
                Ok(vec![Self::bind_tcp(*address, settings, false)?])
            }
            Listen::Tcp(address) => Self::bind_queues(*address, settings, queues),
            Listen::Unix(path) => Ok(vec![Self::bind_unix(path, entry, settings)?]),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Binds several sockets to one TCP port. The kernel spreads connections over them: one accept
    /// queue, bounded by net.core.somaxconn, is often too short for the connections of many processes.
    fn bind_queues(
        address: SocketAddr,
        settings: &Settings,
        queues: usize,
    ) -> io::Result<Vec<Self>> {
        // First without SO_REUSEPORT: with it, the port of another server would be shared as well.
        let exclusive = Self::bind_tcp(address, settings, false)?;
        let Address::Tcp(address) = exclusive.address else { return Ok(vec![exclusive]) };
        drop(exclusive);
        (0..queues).map(|_| Self::bind_tcp(address, settings, true)).collect()
    }

    fn bind_tcp(address: SocketAddr, settings: &Settings, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        if has_both_families(settings, address) {
            socket.set_only_v6(true)?;
        }
        set_options(&socket, &settings.socket)?;
        socket.bind(&address.into())?;
        socket.listen(backlog(settings))?;
        let address = Address::Tcp(socket.local_addr()?.as_socket().unwrap_or(address));
        Ok(Self::new(socket, address, None, settings.server.backlog))
    }

    fn bind_unix(path: &Path, entry: &ListenerSettings, settings: &Settings) -> io::Result<Self> {
        let owner = entry.owner.as_deref().map(accounts::user).transpose()?;
        let group = entry.group.as_deref().map(accounts::group).transpose()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        if let Some(mode) = entry.mode {
            // On Linux, bind(2) gives the file the mode of the socket: there is no moment with wider rights.
            fchmod(&socket, Mode::from_raw_mode(mode))?;
        }
        let file = SocketFile::listen(&socket, path, backlog(settings))?;
        if owner.is_some() || group.is_some() {
            let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
            chown(path, owner, group)?;
        }
        let address = Address::Unix(path.to_owned());
        Ok(Self::new(socket, address, Some(file), settings.server.backlog))
    }

    /// Serves a listening socket that a service manager made and keeps.
    fn passed(passed: PassedSocket, settings: &Settings) -> Result<Self, RunError> {
        let PassedSocket { name, socket } = passed;
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
        let entries = &settings.server.listen;
        let named = name
            .and_then(|name| entries.iter().position(|entry| entry.name.as_deref() == Some(&name)));
        let shown = address.to_string();
        let index =
            named.or_else(|| entries.iter().position(|entry| entry.address.to_string() == shown));
        let mut listener = Self::new(socket, address, None, 0);
        if let Some(index) = index {
            listener.index = index;
            listener.label = entries[index].label();
        }
        Ok(listener)
    }

    fn new(
        socket: Socket,
        address: Address,
        file: Option<SocketFile>,
        unaccepted_max: u32,
    ) -> Self {
        let label = address.to_string();
        Self { socket, address, index: NO_ENTRY, label, _file: file, unaccepted_max }
    }
}

/// Whether `address` is one of IPv6 whose port is one of IPv4 too: each then has its own socket.
fn has_both_families(settings: &Settings, address: SocketAddr) -> bool {
    let same_port = |entry: &ListenerSettings| match entry.address {
        Listen::Tcp(other) => other.is_ipv4() && other.port() == address.port(),
        _ => false,
    };
    address.is_ipv6() && address.port() != 0 && settings.server.listen.iter().any(same_port)
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    /// Only listeners that the server had bound itself got the options, so a connection of
    /// `towline::serve` held small replies back until the peer acknowledged the ones before.
    #[test]
    fn connections_inherit_the_options_of_a_listener() {
        let mut settings = Settings::default();
        settings.server.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into()).into()];
        let callers = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut listeners = Listener::open(&settings, Vec::new(), 1).expect("a free port");
        listeners.push(Listener::from_caller(callers.into(), &settings, true).expect("a listener"));
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
