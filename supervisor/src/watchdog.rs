//! Detects that a worker reads the messages of its supervisor too late.
//!
//! The control session is a task on a shard's thread, which saves each connection the wake-up of
//! another thread. But there it is polled in turn with every connection that has input: with 15,000
//! clients that flood lines to be hashed a worker read its messages once a second, while thousands of
//! connections waited in the kernel's queue. So the first thread of the process, otherwise idle, checks
//! whether messages stay unread; if so, the session moves to that thread.

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

/// Longest time without a read while a message waits. A shard that is not busy reads at once; with many
/// processes on few cores any thread can wait some ten milliseconds for a core.
const UNREAD_MAX: Duration = Duration::from_millis(200);

/// The state that the session and its watching thread share.
#[derive(Debug, Default)]
pub(crate) struct ControlWatchdog {
    /// Messages read so far.
    messages_read: AtomicU64,
    overdue: Notify,
}

impl ControlWatchdog {
    /// Counts a message that the session has read.
    pub(crate) fn message_read(&self) {
        self.messages_read.fetch_add(1, Relaxed);
    }

    /// Waits until a message is overdue.
    pub(crate) async fn overdue(&self) {
        self.overdue.notified().await;
    }

    /// Watches a duplicate of the session's end of the channel, and returns once a message is overdue.
    pub(crate) async fn watch(&self, end: AsyncFd<OwnedFd>) {
        loop {
            // Fails only when the runtime ends, and the session with it.
            let Ok(mut ready) = end.readable().await else { return };
            let before = self.messages_read.load(Relaxed);
            sleep(UNREAD_MAX).await;
            if !is_unread(end.get_ref()) {
                // A message that arrived since `readable` is a new event, which this does not clear.
                ready.clear_ready();
            } else if self.messages_read.load(Relaxed) == before {
                return self.overdue.notify_one();
            }
        }
    }
}

fn is_unread(end: impl AsFd) -> bool {
    let peeked = recv(end, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    // The close of the other end and errors have to be read as well.
    !matches!(peeked, Err(Errno::AGAIN | Errno::INTR))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::channel::{self, Channel};

    #[tokio::test(start_paused = true)]
    async fn an_unread_message_is_overdue_unless_others_are_being_read() {
        let (ours, theirs) = channel::pair().expect("descriptors");
        let [ours, theirs] = [ours, theirs].map(|end| Channel::new(end).expect("a runtime"));
        let watchdog = Arc::new(ControlWatchdog::default());
        let (end, watching) =
            (theirs.duplicate_readable().expect("a descriptor"), watchdog.clone());
        let task = tokio::spawn(async move { watching.watch(end).await });
        let is_overdue = async || timeout(4 * UNREAD_MAX, watchdog.overdue()).await.is_ok();
        assert!(!is_overdue().await, "no message was sent");

        // At every check a message is unread, and another one was read.
        let mut buffer = channel::buffer();
        ours.try_send(b"a message", None).expect("room");
        let start = Instant::now();
        while start.elapsed() < 10 * UNREAD_MAX {
            ours.try_send(b"a message", None).expect("room");
            theirs.try_receive(&mut buffer).expect("it is there").expect("a message");
            watchdog.message_read();
            sleep(UNREAD_MAX / 4).await;
        }
        assert!(!task.is_finished());
        assert!(is_overdue().await, "the last message stays unread");
        task.await.expect("no panic");
    }
}
