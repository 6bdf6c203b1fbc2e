//! Notices when a worker does not hear its supervisor, because the thread that listens is too busy.
//!
//! The conversation is a task among the connections of a shard, which saves a connection the wake-up of
//! another thread. But a task gets its turn behind every connection that has lines: fifteen thousand
//! peers that flood lines to be hashed had a worker listen once a second, while thousands waited in the
//! kernel's queue. So the process's first thread, which has nothing else to do, looks whether anything
//! is unread and nothing was heard a moment later.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{io::unix::AsyncFd, sync::Notify, time::sleep};

/// How long nothing may be heard while something is unread. A shard that is not busy hears at once. Many
/// processes on few cores wait for those some ten milliseconds, which another thread would as well.
const UNREAD_MAX: Duration = Duration::from_millis(200);

/// What the two threads know of each other.
#[derive(Debug, Default)]
pub(crate) struct ControlWatchdog {
    /// Messages heard so far.
    heard: AtomicU64,
    late: Notify,
}

impl ControlWatchdog {
    /// Notes that a message was heard.
    pub(crate) fn heard(&self) {
        self.heard.fetch_add(1, Relaxed);
    }

    /// Waits until messages are heard too late.
    pub(crate) async fn late(&self) {
        self.late.notified().await;
    }

    /// Looks at the end of the channel that is listened to, and returns once that is too late.
    pub(crate) async fn watch(&self, end: AsyncFd<OwnedFd>) {
        loop {
            // Fails only if the runtime ends, and then nobody listens.
            let Ok(mut ready) = end.readable().await else { return };
            let before = self.heard.load(Relaxed);
            sleep(UNREAD_MAX).await;
            if !is_unread(end.get_ref()) {
                // What has come since it was waited for is an event that this leaves alone.
                ready.clear_ready();
            } else if self.heard.load(Relaxed) == before {
                return self.late.notify_one();
            }
        }
    }
}

fn is_unread(end: impl AsFd) -> bool {
    let peeked = recv(end, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    // The other end's end is to be heard as well, and so is anything that is wrong.
    !matches!(peeked, Err(Errno::AGAIN | Errno::INTR))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::channel::{self, Channel};

    #[tokio::test(start_paused = true)]
    async fn a_message_that_nobody_hears_is_late_and_one_of_many_that_are_heard_is_not() {
        let (ours, theirs) = channel::pair().expect("descriptors");
        let [ours, theirs] = [ours, theirs].map(|end| Channel::new(end).expect("a runtime"));
        let watchdog = Arc::new(ControlWatchdog::default());
        let (end, looks) = (theirs.watched().expect("a descriptor"), watchdog.clone());
        let looking = tokio::spawn(async move { looks.watch(end).await });
        let is_late = async || timeout(4 * UNREAD_MAX, watchdog.late()).await.is_ok();
        assert!(!is_late().await, "nothing has come");

        // Something is always unread, and something was always heard.
        let mut buffer = channel::buffer();
        ours.try_send(b"a message", None).expect("room");
        let began = Instant::now();
        while began.elapsed() < 10 * UNREAD_MAX {
            ours.try_send(b"a message", None).expect("room");
            theirs.try_receive(&mut buffer).expect("it is there").expect("a message");
            watchdog.heard();
            sleep(UNREAD_MAX / 4).await;
        }
        assert!(!looking.is_finished());
        assert!(is_late().await, "the last one is not heard");
        looking.await.expect("it looks no more");
    }
}
