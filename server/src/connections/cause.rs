//! Why a peer does not take its replies.

use std::time::Duration;

use towline_host::{TcpInfo, TcpSocket};

/// Whose fault it is that replies wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WriteWaitCause {
    /// The peer does not read, or too slowly: its receive window is closed.
    Peer,
    /// The network: segments are lost, or a long way limits how much is in flight.
    Network,
    /// The server's own limit of unsent bytes in the kernel, `socket.notsent_lowat`, or its send buffer.
    Buffer,
    /// None of these, not looked at, or over before it could be.
    Unknown,
}

impl WriteWaitCause {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Peer, Self::Network, Self::Buffer, Self::Unknown];

    /// The label value under which it is exported.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Network => "network",
            Self::Buffer => "buffer",
            Self::Unknown => "unknown",
        }
    }

    /// The cause with this label.
    pub(super) fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.label() == label)
    }

    /// The cause, by two readings of a socket that were taken `apart`.
    ///
    /// The kernel counts how long a socket with data to send was limited by the peer's window and by its own
    /// buffer (`tcpi_rwnd_limited`, `tcpi_sndbuf_limited`: tcp_info in the kernel's `tcp.h`). What a lossy network
    /// does is seen in segments that were sent again, or that wait for a timeout.
    pub(super) fn of(before: &TcpSocket, now: &TcpSocket, apart: Duration) -> Self {
        let (Some(then), Some(info)) = (before.info, now.info) else { return Self::Unknown };
        let half = apart / 2;
        let loses = info.retransmits > then.retransmits || info.timeouts > 0;
        let window_limited = info.window_limited.saturating_sub(then.window_limited);
        if info.probes > 0 && !loses || window_limited >= half {
            Self::Peer
        } else if loses {
            Self::Network
        } else if info.buffer_limited.saturating_sub(then.buffer_limited) >= half {
            Self::Buffer
        } else if window_is_full(&info) {
            Self::Network
        } else if now.unacknowledged_bytes > 0 && info.in_flight < info.congestion_window {
            // The window and the network have room, and what is unsent waits for our own write.
            Self::Buffer
        } else {
            Self::Unknown
        }
    }
}

/// As much is in flight as the network was found to bear.
const fn window_is_full(info: &TcpInfo) -> bool {
    info.in_flight > 0 && info.in_flight >= info.congestion_window
}
