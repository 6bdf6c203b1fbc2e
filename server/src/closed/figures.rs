//! What the kernel knows of sockets that are closed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd as _, RawFd},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::net::{getpeername, getsockname};
use towline_config::ConnectionLog;
use towline_host::{SockDiag, TcpSocket};
use towline_middleware::stats::Nanos;

use super::{ABNORMAL_PER_SECOND_MAX, USUAL_PER_SECOND_MAX, lock, log_of, rate::Rate};
use crate::counts::monotonic_nanos;

/// What the kernel knew of a TCP socket before it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketFigures {
    /// Bytes received from the peer.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Those of them that the peer had not acknowledged.
    pub unsent_bytes: u32,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Segments that were sent again.
    pub retransmits: u32,
}

impl SocketFigures {
    /// Looks them up in the kernel's tables: some system calls. A socket that both sides have closed, or that was
    /// reset, is in none. `end_read` says whether the peer's end was received, which counts as a byte there.
    pub(crate) fn of(socket: &impl AsFd, end_read: bool) -> Option<Self> {
        let address =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let local = SocketAddr::try_from(getsockname(socket).ok()?).ok()?;
        let peer = SocketAddr::try_from(getpeername(socket).ok()??).ok()?;
        let found = SockDiag::open().ok()?.connection(address(local), address(peer))?;
        let TcpSocket { unacknowledged_bytes, info, .. } = found;
        info.map(|info| Self {
            read_bytes: info.received_bytes.saturating_sub(end_read.into()),
            written_bytes: info.acknowledged_bytes + u64::from(unacknowledged_bytes),
            unsent_bytes: unacknowledged_bytes,
            rtt: info.rtt,
            retransmits: info.retransmits,
        })
    }
}

/// Sockets that were shut down and are not closed yet, of all servers of the process: those of the connections
/// that linger.
static SHUT_DOWN: ShutDown = ShutDown {
    log: AtomicU8::new(0),
    any: AtomicBool::new(false),
    figures: Mutex::new(BTreeMap::new()),
    rate: Mutex::new(Rate::new(USUAL_PER_SECOND_MAX + ABNORMAL_PER_SECOND_MAX)),
};

/// Most sockets that are kept.
const SHUT_DOWN_MAX: usize = 4_096;

struct ShutDown {
    /// The `log.connections` that was set last.
    log: AtomicU8,
    /// Whether some are kept.
    any: AtomicBool,
    figures: Mutex<BTreeMap<RawFd, SocketFigures>>,
    rate: Mutex<Rate>,
}

/// Keeps figures from now on if records of connections in `log` need them.
pub(super) fn set_log(log: u8) {
    SHUT_DOWN.log.store(log, Relaxed);
}

/// Keeps the figures of a socket that is about to be shut down, if its connection may get a record: after that the
/// kernel may forget them before the connection has ended. `by_peer` says whether the peer has closed before.
pub(crate) fn before_shutdown(socket: &impl AsFd, by_peer: impl FnOnce() -> bool) {
    let log = log_of(&SHUT_DOWN.log);
    if log == ConnectionLog::Off {
        return;
    }
    let by_peer = by_peer();
    // An abnormal end is not begun by the peer's close.
    let wanted = log == ConnectionLog::All || !by_peer;
    if wanted && lock(&SHUT_DOWN.rate).admit(Nanos(monotonic_nanos()), false) {
        keep(socket, by_peer);
    }
}

#[cold]
fn keep(socket: &impl AsFd, by_peer: bool) {
    let Some(figures) = SocketFigures::of(socket, by_peer) else { return };
    let mut kept = lock(&SHUT_DOWN.figures);
    if kept.len() < SHUT_DOWN_MAX {
        kept.insert(socket.as_fd().as_raw_fd(), figures);
        SHUT_DOWN.any.store(true, Relaxed);
    }
}

/// The figures of a socket that was shut down, once. Called before each socket is closed.
pub(crate) fn take(socket: &impl AsFd) -> Option<SocketFigures> {
    if !SHUT_DOWN.any.load(Relaxed) {
        return None;
    }
    let mut kept = lock(&SHUT_DOWN.figures);
    let figures = kept.remove(&socket.as_fd().as_raw_fd());
    SHUT_DOWN.any.store(!kept.is_empty(), Relaxed);
    figures
}
