//! The sockets of the admin endpoint: a TCP port, a UNIX socket, or both.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::MetadataExt as _, net::UnixListener},
    path::Path,
    task::{Context, Poll},
};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net,
};
use towline_config::Settings;

use super::{access::Access, token::Token};
use crate::{
    RunError,
    accept::{SocketFile, listen, owner_only_socket},
};

/// Connections that wait to be accepted on the UNIX socket.
const BACKLOG: i32 = 128;

/// The bound sockets of the admin endpoint.
#[derive(Debug)]
pub struct Sockets {
    pub(super) port: Option<TcpListener>,
    pub(super) socket: Option<UnixListener>,
    pub(super) token: Option<Token>,
    address: Option<SocketAddr>,
    pub(super) file: Option<SocketFile>,
}

impl Sockets {
    /// Binds `server.admin` and `admin.socket`, as far as they are on, and reads `admin.token_file`. `None` if
    /// both are off.
    ///
    /// # Errors
    /// When an address is taken or not one of this host, when the path is another program's, and when the
    /// token cannot be used.
    pub fn bind(settings: &Settings) -> Result<Option<Self>, RunError> {
        let port = settings.server.admin.map(bind_port).transpose()?;
        let address = port.as_ref().map(|(_, address)| *address);
        let socket = settings.admin.socket.as_deref().map(bind_socket).transpose()?;
        if port.is_none() && socket.is_none() {
            return Ok(None);
        }
        let token = settings.admin.token_file.as_deref().map(Token::read).transpose()?;
        let (socket, file) = socket.unzip();
        let port = port.map(|(port, _)| port);
        Ok(Some(Self { port, socket, token, address, file }))
    }

    /// The address of the port, with the real one; `None` if it is off.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The file of the UNIX socket, which is removed when dropped. For a server whose admin endpoint runs
    /// until the process exits.
    pub const fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }
}

fn bind_port(address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind()
        .map_err(|error: io::Error| listen::describe("server.admin", &address.to_string(), &error))
}

fn bind_socket(path: &Path) -> Result<(UnixListener, SocketFile), RunError> {
    let bind = || {
        refuse_foreign(path)?;
        let socket = owner_only_socket()?;
        let file = SocketFile::listen(&socket, path, BACKLOG)?;
        // The mode was set before the file was made; a kernel that does not keep it must not serve.
        let mode = fs::symlink_metadata(path)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "its mode is {mode:o}, and this kernel does not let it be made with 600"
            )));
        }
        Ok((UnixListener::from(socket), file))
    };
    bind().map_err(|error: io::Error| {
        listen::describe("admin.socket", &path.display().to_string(), &error)
    })
}

/// Refuses a path at which another user has a file, although this user could remove it.
fn refuse_foreign(path: &Path) -> io::Result<()> {
    let Ok(file) = fs::symlink_metadata(path) else { return Ok(()) };
    let (owner, own) = (file.uid(), geteuid().as_raw());
    if owner == own {
        return Ok(());
    }
    Err(io::Error::other(format!("user {owner} has a file there, and this server is user {own}")))
}

/// A listening socket of either kind.
pub(super) trait AdminListener: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Accepts a client, with what it may do.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Access)>>;
}

impl AdminListener for net::TcpListener {
    type Stream = net::TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Access)>> {
        Self::poll_accept(self, cx).map_ok(|(stream, _)| (stream, Access::Port))
    }
}

impl AdminListener for net::UnixListener {
    type Stream = net::UnixStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, Access)>> {
        let accepted = std::task::ready!(Self::poll_accept(self, cx));
        Poll::Ready(accepted.and_then(|(stream, _)| {
            let access = Access::of_user(stream.peer_cred()?.uid());
            Ok((stream, access))
        }))
    }
}
