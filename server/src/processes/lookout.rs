//! Sees to it that a worker hears its supervisor however busy the thread is that listens.
//!
//! The conversation is a task among the connections of a shard, which saves a connection the wake-up of
//! another thread. But a task hears of what has come only when its turn comes in the thread's poller,
//! behind every connection that has lines: fifteen thousand peers that flood lines to be hashed had a
//! worker take twenty connections a second, while thousands waited in the kernel's queue. So another
//! thread, which has nothing else to do, looks whether what came is still there a moment later. Its
//! wake-up goes past the poller.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{io::unix::AsyncFd, sync::Notify, time::sleep};

/// How long a message may lie unread. As many connections as may be on their way to a worker come
/// in this time at most.
const UNREAD_MAX: Duration = Duration::from_millis(20);

/// Wakes `late` whenever a message has been unread for too long; returns when the other end is gone.
pub(super) async fn look_out(end: AsyncFd<OwnedFd>, late: Arc<Notify>) {
    while let Ok(mut ready) = end.readable().await {
        loop {
            sleep(UNREAD_MAX).await;
            // Before the look: what comes behind it is an event again.
            ready.clear_ready();
            match is_unread(end.get_ref()) {
                Unread::Nothing => break,
                Unread::Message => late.notify_one(),
                Unread::End => return late.notify_one(),
            }
        }
    }
}

enum Unread {
    Nothing,
    Message,
    /// The other end is gone, and it will be heard as it always is.
    End,
}

fn is_unread(end: impl AsFd) -> Unread {
    match recv(end, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Unread::End,
        Ok(_) => Unread::Message,
        Err(Errno::AGAIN | Errno::INTR) => Unread::Nothing,
        Err(_) => Unread::End,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::processes::channel::{self, Channel};

    #[tokio::test(start_paused = true)]
    async fn what_lies_unread_is_told_again_and_again_and_what_was_read_is_not() {
        let (ours, theirs) = channel::pair().expect("descriptors");
        let (ours, theirs) = (Channel::new(ours).expect("a runtime"), theirs);
        let theirs = Channel::new(theirs).expect("a runtime");
        let late = Arc::new(Notify::new());
        let looking = tokio::spawn(look_out(theirs.watched().expect("a descriptor"), late.clone()));

        let is_late = async || timeout(5 * UNREAD_MAX, late.notified()).await.is_ok();
        assert!(!is_late().await, "nothing has come");
        ours.try_send(b"a message", None).expect("room");
        let began = Instant::now();
        assert!(is_late().await && is_late().await, "nobody reads it");
        assert!(began.elapsed() >= 2 * UNREAD_MAX);
        theirs.try_receive(&mut channel::buffer()).expect("it is there").expect("a message");
        // The look before it was read may have told of it.
        let _ = is_late().await;
        assert!(!is_late().await, "it was read");

        drop(ours);
        assert!(is_late().await);
        looking.await.expect("it ends when the other end is gone");
    }
}
