//! Connections that are not served: why, what they are told, and how they are let go.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, sync::Semaphore};

use super::{
    AcceptStats,
    fd::watch,
    listen::{Accepted, say_goodbye},
};
use crate::counts::Rejection;

/// Refused connections that may wait for their goodbye to arrive at once; more are just closed.
const GOODBYES_MAX: usize = 256;

/// How long a refused connection may take to read its goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most of a refused connection's input that is read before it is closed at once.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

const TOO_MANY: &[u8] = b"ERR too many connections\n";
const TOO_MANY_FROM_THERE: &[u8] = b"ERR too many connections from your address\n";

/// The line that a refused peer is sent. All begin alike, so that a client needs one test.
const fn goodbye(why: Rejection) -> &'static [u8] {
    match why {
        Rejection::PerIp => TOO_MANY_FROM_THERE,
        _ => TOO_MANY,
    }
}

/// Refuses connections and counts them.
#[derive(Debug)]
pub(super) struct Rejector {
    stats: Arc<AcceptStats>,
    goodbyes: Arc<Semaphore>,
}

impl Rejector {
    pub(super) fn new(stats: Arc<AcceptStats>) -> Self {
        Self { stats, goodbyes: Arc::new(Semaphore::new(GOODBYES_MAX)) }
    }

    fn count_and_say_goodbye(&self, accepted: &Accepted, why: Rejection) {
        self.stats.rejected[why as usize].fetch_add(1, Relaxed);
        say_goodbye(&accepted.socket, goodbye(why));
    }

    /// Tells a connection that it is not served, and sees to it that it can read that.
    pub(super) fn reject(&self, accepted: Accepted, why: Rejection) {
        self.count_and_say_goodbye(&accepted, why);
        let Ok(permit) = self.goodbyes.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            // Closing with unread input makes the kernel send a reset, which overtakes the line.
            // So read and forget until the peer closes.
            let Ok(socket) = watch(accepted.socket, Interest::READABLE) else {
                return;
            };
            let mut discarded = [0; 4096];
            let read_on = async {
                while let Ok(mut ready) = socket.readable().await {
                    match recv(ready.get_inner(), &mut discarded, RecvFlags::empty()) {
                        Ok((0, _)) => break,
                        Ok(_) => {}
                        Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                        Err(_) => break,
                    }
                }
            };
            let _ = tokio::time::timeout(GOODBYE_TIMEOUT, read_on).await;
            drop(permit);
        });
    }

    /// The same without waiting: its descriptor is the last there is. What the peer has sent by now
    /// is read, so that the line arrives; what it sends later meets a reset behind the line.
    pub(super) fn reject_at_once(&self, accepted: Accepted, why: Rejection) {
        self.count_and_say_goodbye(&accepted, why);
        let mut discarded = [0; 4096];
        for _ in 0..DISCARDED_BYTES_MAX / discarded.len() {
            match recv(&accepted.socket, &mut discarded, RecvFlags::empty()) {
                Ok((1.., _)) => {}
                Ok((0, _)) | Err(_) => break,
            }
        }
        drop(accepted);
    }
}
