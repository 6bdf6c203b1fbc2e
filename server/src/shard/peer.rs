//! The peer of a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

use rustix::net::getsockname;
use towline_middleware::{
    connections::{Endpoints, PeerAddress},
    push::Conn,
    reply::Replies,
};

use crate::{accept::Accepted, proxy_protocol::Proxied};

/// The other end of a connection.
///
/// `Display` is its address, or `unix` over a UNIX socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    endpoints: Endpoints,
    /// `None` for most, so that those cost nothing.
    facts: Option<Arc<PeerFacts>>,
}

/// What is known of some peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct PeerFacts {
    proxied: Option<Box<Proxied>>,
    unix: Option<UnixCredentials>,
    /// How the connection is encrypted.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::TlsInfo>,
    /// Who the client is, by its certificate.
    #[cfg(feature = "tls")]
    pub(crate) identity: Option<crate::tls::Identity>,
}

/// The process at the other end of a UNIX socket, as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnixCredentials {
    /// The process.
    pub pid: i32,
    /// The user that it ran as.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Peer {
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        Self { endpoints: address.into(), facts: None }
    }

    /// Whether it resumed a TLS session.
    pub(crate) fn is_resumed(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls().is_some_and(crate::tls::TlsInfo::is_resumed);
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// How the connection is encrypted; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&crate::tls::TlsInfo> {
        self.facts.as_ref()?.tls.as_ref()
    }

    /// Who the client is, by the certificate that it sent and that an authority of `tls.client_ca` signed; `None`
    /// if it sent none.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&crate::tls::Identity> {
        self.facts.as_ref()?.identity.as_ref()
    }

    /// The peer of an accepted socket.
    ///
    /// *Costs*: a system call.
    pub(crate) fn of(accepted: &Accepted) -> Self {
        if accepted.peer.is_some() {
            let local = getsockname(&accepted.socket).ok();
            let local = local.and_then(|local| local.try_into().ok());
            return Self { endpoints: Endpoints::new(accepted.peer, local), facts: None };
        }
        let peer = Self::new(None);
        let credentials = rustix::net::sockopt::socket_peercred(&accepted.socket).ok();
        let unix = credentials.map(|credentials| UnixCredentials {
            pid: credentials.pid.as_raw_nonzero().get(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        });
        peer.with(|facts| facts.unix = unix)
    }

    /// The client of which a load balancer said `proxied`. Without an address in it, the address stays that of the
    /// balancer.
    pub(crate) fn behind(self, proxied: Proxied) -> Self {
        let mut peer = self;
        if let Some(client) = proxied.source_address() {
            peer.endpoints = Endpoints::new(Some(client), peer.local_address());
        }
        peer.with(|facts| facts.proxied = Some(Box::new(proxied)))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut PeerFacts)) -> Self {
        change(Arc::make_mut(self.facts.get_or_insert_default()));
        self
    }

    /// What a load balancer said of the connection in its PROXY header; `None` without one.
    pub fn proxied(&self) -> Option<&Proxied> {
        self.facts.as_ref()?.proxied.as_deref()
    }

    /// The process at the other end of a UNIX socket; `None` over TCP.
    pub fn unix_credentials(&self) -> Option<UnixCredentials> {
        self.facts.as_ref()?.unix
    }

    /// The peer's address; `None` over a UNIX socket. Behind a load balancer whose PROXY header is believed, it is
    /// that of the client.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.endpoints.peer()
    }

    /// The address of this host to which the peer connected, of all those on which a listener takes connections;
    /// `None` over a UNIX socket and in the test kit's memory. Behind a load balancer it is the one that the balancer
    /// connected to; [`proxied`](Self::proxied) has that of its client.
    pub const fn local_address(&self) -> Option<SocketAddr> {
        self.endpoints.local()
    }

    /// The connection of a session, which knows its peer.
    pub(crate) fn tell<P: Replies>(self, make: impl FnOnce(Endpoints) -> Conn<P>) -> Conn<P> {
        let conn = make(self.endpoints);
        if let Some(facts) = self.facts {
            conn.set_fact(Box::new(facts));
        }
        conn
    }

    /// What a session's connection is told of its peer when more is known of that than at the beginning.
    #[cfg(feature = "tls")]
    pub(crate) fn into_fact(self) -> Option<towline_middleware::push::Fact> {
        self.facts.map(|facts| Box::new(facts) as _)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PeerAddress::from(self.address()).fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({self})")
    }
}

/// What a server knows of the connection of a session: [`peer`](Self::peer), also by [`Cx::conn`](crate::Cx::conn).
///
/// ```
/// use towline::{Action, ActionOf, ConnExt, Cx, FrameOf, Session, protocol::Lf};
///
/// /// Says to whom it talks.
/// struct Who;
///
/// impl Session for Who {
///     type Protocol = Lf;
///
///     fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         let peer = cx.conn().peer();
///         cx.reply(format_args!("{peer} at {:?}", peer.local_address()))
///     }
/// }
/// ```
pub trait ConnExt: sealed::Sealed {
    /// The other end of the connection, with all that is known of it now: after STARTTLS also how the connection is
    /// encrypted, and who the client is. *Costs*: a lock that nothing else takes for long.
    fn peer(&self) -> Peer;
}

impl<P: Replies> ConnExt for Conn<P> {
    fn peer(&self) -> Peer {
        Peer { endpoints: self.endpoints().clone(), facts: self.fact() }
    }
}

mod sealed {
    pub trait Sealed {}

    impl<P: super::Replies> Sealed for super::Conn<P> {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_written_as_its_address() {
        let peer = Peer::new(Some(([127, 0, 0, 1], 5000).into()));
        assert_eq!((peer.to_string(), format!("{peer:?}")), {
            ("127.0.0.1:5000".to_owned(), "Peer(127.0.0.1:5000)".to_owned())
        });
        assert_eq!(format!("{:<6}|", Peer::new(None)), "unix  |");
    }
}
