//! What the kernel knows of connections.

use std::{collections::HashMap, net::SocketAddr, thread, time::Duration};

use tokio::{task, time::Instant};
use towline_host::{Include, Listed, SockDiag, TcpSocket};
use towline_middleware::connections::PeerAddress;

use super::Needs;

/// Most time for a list of all connections.
const DUMP_MAX: Duration = Duration::from_secs(5);

/// Addresses of this host that clients connected to and that are remembered.
const LOCAL_MAX: usize = 64;

/// Shortest time between two searches for addresses that clients connect to.
const SEARCH_INTERVAL: Duration = Duration::from_secs(10);

/// The kernel's view of the ports that lines are served on.
#[derive(Debug)]
pub(crate) struct KernelView {
    diagnostics: SockDiag,
    ports: Vec<u16>,
    /// Addresses of this host under which connections were found; the last hit first.
    local: Vec<SocketAddr>,
    /// A connection was not found: it has ended since, or its client connected to another address.
    missed: bool,
    searched: Option<Instant>,
}

/// Sockets by the addresses of their peers.
#[derive(Debug)]
pub(crate) struct Sockets {
    by_peer: HashMap<SocketAddr, TcpSocket>,
    /// The kernel did not give all.
    pub(crate) partial: bool,
}

impl KernelView {
    /// Of these ports; `None` if there are none, and where the kernel does not answer.
    pub(crate) fn of_ports(ports: Vec<u16>) -> Option<Self> {
        if ports.is_empty() {
            return None;
        }
        let refused = |error: &std::io::Error| tracing::debug!(%error, "no socket diagnostics");
        let diagnostics = SockDiag::open().inspect_err(refused).ok()?;
        Some(Self { diagnostics, ports, local: Vec::new(), missed: false, searched: None })
    }

    /// All sockets of the ports, some `count`, with their details if those are needed. Other tasks of the thread run
    /// meanwhile.
    ///
    /// *Costs*: about two microseconds a connection.
    pub(crate) async fn sockets(&mut self, needs: Needs, count: usize) -> Sockets {
        let with = if needs == Needs::Details { Include::Info } else { Include::Queues };
        let mut by_peer = HashMap::with_capacity(count);
        let listed = self.dump(with, |socket| _ = by_peer.insert(socket.peer, socket)).await;
        Sockets { by_peer, partial: listed == Listed::Part }
    }

    /// Searches the addresses that clients connect to.
    pub(crate) async fn learn_addresses(&mut self) {
        // Those that were found are known, also if not all were.
        let _ = self.dump(Include::Queues, drop).await;
    }

    async fn dump(&mut self, with: Include, mut each: impl FnMut(TcpSocket)) -> Listed {
        self.missed = false;
        self.searched = Some(Instant::now());
        let Self { diagnostics, ports, local, .. } = self;
        for port in ports.iter() {
            let mut dump = diagnostics.dump(*port, with, DUMP_MAX);
            loop {
                let next = dump.next_block(|socket| {
                    learn(local, socket.local);
                    each(socket);
                });
                match next {
                    Ok(None) => {
                        // A block has some hundred connections.
                        thread::yield_now();
                        task::yield_now().await;
                    }
                    Ok(Some(Listed::Part)) | Err(_) => return Listed::Part,
                    Ok(Some(_)) => break,
                }
            }
        }
        Listed::Whole
    }

    /// The socket of one peer.
    ///
    /// *Costs*: two system calls for each address of this host that clients connected to, until it is found.
    pub(crate) fn socket(&mut self, peer: PeerAddress) -> Option<TcpSocket> {
        let PeerAddress::Ip(peer) = peer else { return None };
        if self.local.is_empty() {
            self.learn_one(peer);
        }
        let mut known = self.local.iter().enumerate();
        let found = known.find_map(|(at, local)| Some((at, self.look_up(*local, peer)?)));
        self.missed |= found.is_none();
        let (at, socket) = found?;
        // Mostly one address has nearly all connections.
        self.local[..=at].rotate_right(1);
        Some(socket)
    }

    /// Whether [`learn_addresses`](Self::learn_addresses) should be called: none is
    /// known, or a connection was found under none of them, and the last search was long ago.
    pub(crate) fn needs_addresses(&self) -> bool {
        let long_ago = |searched: Instant| searched.elapsed() >= SEARCH_INTERVAL;
        self.local.is_empty() || self.missed && self.searched.is_none_or(long_ago)
    }

    fn look_up(&self, local: SocketAddr, peer: SocketAddr) -> Option<TcpSocket> {
        self.diagnostics.connection(local, peer)
    }

    /// Over the loopback device both ends often have the same address.
    fn learn_one(&mut self, peer: SocketAddr) {
        for port in &self.ports {
            let local = SocketAddr::new(peer.ip(), *port);
            if peer.ip().is_loopback() && self.look_up(local, peer).is_some() {
                learn(&mut self.local, local);
            }
        }
    }
}

fn learn(local: &mut Vec<SocketAddr>, address: SocketAddr) {
    if !local.contains(&address) && local.len() < LOCAL_MAX {
        local.push(address);
    }
}

impl Sockets {
    /// The socket of one peer.
    pub(crate) fn take(&mut self, peer: PeerAddress) -> Option<TcpSocket> {
        match peer {
            PeerAddress::Ip(peer) => self.by_peer.remove(&peer),
            PeerAddress::Unix => None,
        }
    }
}
