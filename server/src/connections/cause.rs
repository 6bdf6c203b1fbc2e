//! Why a peer does not take its replies.

use std::time::Duration;

use towline_host::TcpInfo;

use crate::counts::WriteWaitCause;

/// The cause, by two readings of a socket that were taken `apart`.
///
/// The kernel counts how long a socket with data to send was limited by the peer's window and by its own
/// buffer (`tcpi_rwnd_limited`, `tcpi_sndbuf_limited`: tcp_info in the kernel's `tcp.h`). It goes on counting
/// while segments are lost that were sent when the window was the limit, so losses without an answer come
/// first. A peer without room for a segment drops it, which looks like a loss, but answers.
pub(super) fn find(then: &TcpInfo, info: &TcpInfo, apart: Duration) -> WriteWaitCause {
    let half = apart / 2;
    let window_limited = info.window_limited.saturating_sub(then.window_limited);
    let buffer_limited = info.buffer_limited.saturating_sub(then.buffer_limited);
    let probes_the_window = info.probes > 0 && info.in_flight == 0;
    let loses = info.recovering || info.timeouts > 0 || info.retransmits > then.retransmits;
    if is_unanswered(info) {
        WriteWaitCause::Network
    } else if probes_the_window || window_limited >= half {
        WriteWaitCause::Peer
    } else if loses {
        WriteWaitCause::Network
    } else if buffer_limited >= half {
        WriteWaitCause::Buffer
    } else if info.in_flight == 0 {
        WriteWaitCause::Unknown
    } else if info.in_flight >= info.congestion_window || info.since_acknowledged >= half {
        // As much is in flight as the network was found to bear, or for very long.
        WriteWaitCause::Network
    } else if info.unsent_bytes == 0 {
        // Window and network have room, but nothing was there to be sent.
        WriteWaitCause::Buffer
    } else {
        WriteWaitCause::Unknown
    }
}

/// A segment timed out, and nothing came since it was sent again.
fn is_unanswered(info: &TcpInfo) -> bool {
    let sent_after = info.since_acknowledged.saturating_sub(info.since_sent);
    info.timeouts > 0 && info.in_flight > 0 && sent_after > info.rtt + TICK
}

/// Both times are of the kernel's coarse clock, whose tick is 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A socket that has sent all that the network bears, and was answered just now.
    fn sending() -> TcpInfo {
        let mut info = TcpInfo::default();
        (info.in_flight, info.congestion_window, info.unsent_bytes) = (2, 10, 48_000);
        info.busy = 10 * SECOND;
        info
    }

    #[track_caller]
    fn assert_cause(cause: WriteWaitCause, change: impl Fn(&mut TcpInfo)) {
        let (then, mut info) = (sending(), sending());
        change(&mut info);
        assert_eq!(find(&then, &info, SECOND), cause, "{info:?}");
    }

    #[test]
    fn a_closed_window_is_the_fault_of_the_peer() {
        assert_cause(WriteWaitCause::Peer, |info| info.window_limited = millis(990));
        assert_cause(WriteWaitCause::Peer, |info| (info.in_flight, info.probes) = (0, 3));
        // It has no room for the segment, and says so each time.
        assert_cause(WriteWaitCause::Peer, |info| {
            info.window_limited = SECOND;
            (info.retransmits, info.timeouts, info.recovering) = (3, 2, true);
            (info.since_sent, info.since_acknowledged) = (millis(700), millis(700));
        });
    }

    #[test]
    fn losses_are_the_fault_of_the_network() {
        assert_cause(WriteWaitCause::Network, |info| info.retransmits = 1);
        assert_cause(WriteWaitCause::Network, |info| info.recovering = true);
        assert_cause(WriteWaitCause::Network, |info| info.in_flight = 10);
        assert_cause(WriteWaitCause::Network, |info| info.since_acknowledged = millis(600));
        // Lost when the window was the limit: the kernel still counts that, and no answer comes.
        assert_cause(WriteWaitCause::Network, |info| {
            info.window_limited = SECOND;
            (info.retransmits, info.timeouts, info.recovering) = (9, 3, true);
            (info.since_sent, info.since_acknowledged) = (millis(1248), millis(2768));
        });
    }

    #[test]
    fn a_small_buffer_is_the_fault_of_the_server() {
        assert_cause(WriteWaitCause::Buffer, |info| info.buffer_limited = millis(800));
        assert_cause(WriteWaitCause::Buffer, |info| info.unsent_bytes = 0);
    }

    #[test]
    fn what_shows_no_cause_is_unknown() {
        assert_cause(WriteWaitCause::Unknown, |_| ());
        assert_cause(WriteWaitCause::Unknown, |info| info.in_flight = 0);
    }
}
