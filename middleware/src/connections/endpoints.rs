//! Both addresses of a connection, in 16 bytes.

use std::net::{SocketAddr, SocketAddrV4};

/// The addresses of the two ends of a connection, as far as it has some: one over a UNIX socket has none.
///
/// *Costs*: 16 bytes for IPv4, and an allocation for other connections that have any.
///
/// ```
/// use towline_middleware::connections::Endpoints;
///
/// let (peer, local) = (([192, 0, 2, 1], 5000).into(), ([10, 0, 0, 5], 9000).into());
/// let ends = Endpoints::new(Some(peer), Some(local));
/// assert_eq!((ends.peer(), ends.local()), (Some(peer), Some(local)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Endpoints(Packed);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
enum Packed {
    #[default]
    None,
    V4 {
        peer: SocketAddrV4,
        local: SocketAddrV4,
    },
    Others(Box<[Option<SocketAddr>; 2]>),
}

impl Endpoints {
    /// Of a connection from `peer` to the address `local` of this host.
    pub fn new(peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Self {
        Self(match (peer, local) {
            (None, None) => Packed::None,
            (Some(SocketAddr::V4(peer)), Some(SocketAddr::V4(local))) => Packed::V4 { peer, local },
            others => Packed::Others(Box::new(others.into())),
        })
    }

    /// The address of the peer.
    pub const fn peer(&self) -> Option<SocketAddr> {
        match &self.0 {
            Packed::None => None,
            Packed::V4 { peer, .. } => Some(SocketAddr::V4(*peer)),
            Packed::Others(others) => others[0],
        }
    }

    /// The address of this host to which the peer connected.
    pub const fn local(&self) -> Option<SocketAddr> {
        match &self.0 {
            Packed::None => None,
            Packed::V4 { local, .. } => Some(SocketAddr::V4(*local)),
            Packed::Others(others) => others[1],
        }
    }
}

impl From<Option<SocketAddr>> for Endpoints {
    fn from(peer: Option<SocketAddr>) -> Self {
        Self::new(peer, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_addresses_come_back() {
        let address = |text: &str| text.parse().ok();
        let some = [None, address("10.1.2.3:80"), address("[2001:db8::1]:443")];
        for peer in some {
            for local in some {
                let ends = Endpoints::new(peer, local);
                assert_eq!((ends.peer(), ends.local()), (peer, local));
            }
        }
        assert_eq!(size_of::<Endpoints>(), 16);
    }
}
