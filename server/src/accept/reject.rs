//! Rejected connections: what each is sent, and a close that does not overtake it.

use std::{
    net::Shutdown,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::{io::Interest, sync::Semaphore};
use towline_middleware::protocol::{BytesMut, Notice, Protocol};

use super::{AcceptStats, Accepted, accepted::say_goodbye, fd::register};
use crate::counts::Rejection;

/// Rejected connections that may stay open at once until their line has arrived, and with them those
/// that a drain ends in the accept queue; further ones are closed without the wait.
const GOODBYES_MAX: usize = 256;

/// How long a rejected connection may stay open until its line has arrived.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most input that is discarded before a rejected connection is closed without a wait.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// What rejected clients are sent, in the words of their protocol; nothing where it has none.
#[derive(Debug, Clone)]
pub struct RejectionWords {
    too_many: BytesMut,
    too_many_from_address: BytesMut,
    denied: BytesMut,
}

impl RejectionWords {
    /// The words of `P`.
    pub fn of<P: Protocol>() -> Self {
        Self::said_by(P::notice)
    }

    /// The words of the protocol whose notices `notice` says.
    pub(crate) fn said_by(notice: fn(&Notice<'_>, &mut BytesMut)) -> Self {
        let said = |what| {
            let mut words = BytesMut::new();
            notice(&what, &mut words);
            words
        };
        Self {
            too_many: said(Notice::TooManyConnections),
            too_many_from_address: said(Notice::TooManyFromAddress),
            denied: said(Notice::Refused("your address may not connect")),
        }
    }

    fn get(&self, why: Rejection) -> &[u8] {
        match why {
            Rejection::PerIp | Rejection::PerIpRate => &self.too_many_from_address,
            Rejection::Denied => &self.denied,
            _ => &self.too_many,
        }
    }
}

/// Rejects connections and counts them.
#[derive(Debug)]
pub(super) struct Rejector {
    stats: Arc<AcceptStats>,
    words: RejectionWords,
    goodbyes: Arc<Semaphore>,
}

impl Rejector {
    pub(super) fn new(stats: Arc<AcceptStats>, words: RejectionWords) -> Self {
        Self { stats, words, goodbyes: Arc::new(Semaphore::new(GOODBYES_MAX)) }
    }

    fn count_and_say_goodbye(&self, accepted: &Accepted, why: Rejection) {
        self.stats.rejected[why as usize].fetch_add(1, Relaxed);
        say_goodbye(&accepted.socket, self.words.get(why));
    }

    /// Sends a connection the reason, and closes it once the client can have read that.
    pub(super) fn reject(&self, accepted: Accepted, why: Rejection) {
        self.count_and_say_goodbye(&accepted, why);
        self.linger(accepted);
    }

    /// Ends a connection that is not served because the server drains. The client reads no line, only
    /// the end.
    pub(super) fn end(&self, accepted: Accepted) {
        // A peer that has closed already needs no end.
        let _ = SockRef::from(&accepted.socket).shutdown(Shutdown::Write);
        self.linger(accepted);
    }

    /// Waits until every connection that was rejected or ended is closed, at most
    /// [`GOODBYE_TIMEOUT`] after the last one.
    pub(super) async fn all_closed(&self) {
        let _ = self.goodbyes.acquire_many(GOODBYES_MAX as u32).await;
    }

    /// Closes a half-closed connection once the client has closed it, or after [`GOODBYE_TIMEOUT`].
    fn linger(&self, accepted: Accepted) {
        let Ok(permit) = self.goodbyes.clone().try_acquire_owned() else {
            return discard_and_close(accepted);
        };
        tokio::spawn(async move {
            // Closing with unread input makes the kernel send a reset, which overtakes the line. So
            // input is read and discarded until the client closes.
            let Ok(socket) = register(accepted.socket, Interest::READABLE) else {
                return;
            };
            let mut discarded = [0; 4096];
            let discard = async {
                while let Ok(mut ready) = socket.readable().await {
                    match recv(ready.get_inner(), &mut discarded, RecvFlags::empty()) {
                        Ok((0, _)) => break,
                        Ok(_) => {}
                        Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                        Err(_) => break,
                    }
                }
            };
            let _ = tokio::time::timeout(GOODBYE_TIMEOUT, discard).await;
            drop(permit);
        });
    }

    /// Like [`reject`](Self::reject) without the wait, for a connection that took the last descriptor.
    /// Input that has arrived is discarded, so that the line arrives; later input is answered by a reset
    /// behind the line.
    pub(super) fn reject_at_once(&self, accepted: Accepted, why: Rejection) {
        self.count_and_say_goodbye(&accepted, why);
        discard_and_close(accepted);
    }
}

/// Discards the input that has arrived, because closing with unread input sends a reset, and closes.
fn discard_and_close(accepted: Accepted) {
    let mut discarded = [0; 4096];
    for _ in 0..DISCARDED_BYTES_MAX / discarded.len() {
        match recv(&accepted.socket, &mut discarded, RecvFlags::empty()) {
            Ok((1.., _)) => {}
            Ok((0, _)) | Err(_) => break,
        }
    }
    drop(accepted);
}
