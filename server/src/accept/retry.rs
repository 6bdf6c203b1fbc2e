//! Accepting past errors: pauses, the reserve descriptor, the log.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    AcceptStats, Accepted,
    error::{AcceptErrorClass, classify},
    listen::Listener,
    listener_set::ListenerSet,
    reject::{RejectionWords, Rejector},
    reserve_fd::{ReserveFd, lacks_descriptors},
};
use crate::counts::Rejection;

/// First and longest pause after an error of the process or host.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// After this long without a shortage the next one is logged again.
const EPISODE_END: Duration = Duration::from_secs(5);

/// Connections rejected on the reserve descriptor in a row, and the pause after them: clients that
/// connect again at once must not keep a core busy.
const REJECTIONS_PER_BURST: usize = 64;
const REJECTIONS_PAUSE: Duration = Duration::from_millis(25);

/// Errors of single connections in a row that are retried at once. After more of them the cause is
/// something that lasts, whatever the error says.
const CONNECTION_ERRORS_MAX: u32 = 64;

/// Accepts, and handles the errors of accept(2).
#[derive(Debug)]
pub(super) struct AcceptRetry {
    pub(super) rejector: Rejector,
    stats: Arc<AcceptStats>,
    reserve: ReserveFd,
    /// The pause after the last attempt, if it failed for a reason that lasts.
    pause: Option<Duration>,
    /// When resources were short last.
    last_shortage: Option<Instant>,
    /// Connections rejected on the reserve descriptor since the last accept or pause.
    rejected: usize,
    /// Errors of single connections since the last attempt without one.
    connection_errors: u32,
}

/// The result of one attempt to accept.
pub(super) enum Attempt {
    Accepted(Accepted),
    /// A connection was rejected on the reserve descriptor, for lack of others.
    Rejected,
    Failed(io::Error),
}

impl AcceptRetry {
    pub(super) fn new(stats: Arc<AcceptStats>, words: RejectionWords) -> Self {
        let rejector = Rejector::new(stats.clone(), words);
        Self {
            rejector,
            stats,
            reserve: ReserveFd::default(),
            pause: None,
            last_shortage: None,
            rejected: 0,
            connection_errors: 0,
        }
    }

    /// Returns the next connection.
    ///
    /// # Errors
    /// When the listening socket fails.
    pub(super) async fn next(&mut self, listeners: &mut ListenerSet) -> io::Result<Accepted> {
        loop {
            let mut ready = listeners.readable().await?;
            match self.attempt(ready.get_inner()) {
                Attempt::Accepted(accepted) => {
                    self.rejected = 0;
                    if self.pause.take().is_some() {
                        tracing::debug!("accepting again");
                    }
                    return Ok(accepted);
                }
                Attempt::Rejected => {
                    self.pause = None;
                    if self.begins_episode() {
                        tracing::warn!("no descriptor left, rejecting connections");
                    }
                    self.rejected += 1;
                    if self.rejected == REJECTIONS_PER_BURST {
                        self.rejected = 0;
                        sleep(REJECTIONS_PAUSE).await;
                    }
                }
                Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                }
                Attempt::Failed(error) => self.back_off(error).await?,
            }
        }
    }

    /// Accepts once, without blocking. Out of descriptors, it accepts with the reserve descriptor and
    /// rejects.
    pub(super) fn attempt(&mut self, listener: &Listener) -> Attempt {
        let _lock = self.stats.accept_lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve.acquire();
        match listener.accept() {
            Ok(accepted) => {
                self.connection_errors = 0;
                Attempt::Accepted(accepted)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.connection_errors = 0;
                Attempt::Failed(error)
            }
            Err(error) if lacks_descriptors(&error) && self.reserve.is_held() => {
                self.stats.errors[classify(&error).1].fetch_add(1, Relaxed);
                self.reserve.release();
                let attempt = match listener.accept() {
                    Ok(accepted) => {
                        self.rejector.reject_at_once(accepted, Rejection::FdExhausted);
                        Attempt::Rejected
                    }
                    Err(error) => Attempt::Failed(error),
                };
                self.reserve.acquire();
                attempt
            }
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Counts an error, and pauses if its cause may last.
    ///
    /// # Errors
    /// The error itself, if the listening socket failed.
    pub(super) async fn back_off(&mut self, error: io::Error) -> io::Result<()> {
        let (class, errno) = classify(&error);
        self.stats.errors[errno].fetch_add(1, Relaxed);
        match class {
            AcceptErrorClass::Connection if self.connection_errors < CONNECTION_ERRORS_MAX => {
                self.connection_errors += 1;
            }
            AcceptErrorClass::Listener => return Err(error),
            AcceptErrorClass::Connection | AcceptErrorClass::Resources => {
                if self.begins_episode() {
                    tracing::warn!(%error, "cannot accept, backing off");
                }
                let pause = self.pause.map_or(BACK_OFF[0], |last| (2 * last).min(BACK_OFF[1]));
                self.pause = Some(pause);
                sleep(pause).await;
            }
        }
        Ok(())
    }

    /// Notes a shortage of resources. Returns true if it starts a new episode, which is logged once
    /// however many attempts fail or connections are rejected in it.
    fn begins_episode(&mut self) -> bool {
        let now = Instant::now();
        self.last_shortage.replace(now).is_none_or(|last| now - last >= EPISODE_END)
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use towline_middleware::protocol::Lf;

    use super::*;

    /// Tries `attempts` times in a row, each failing with `errno`; returns how long that took.
    async fn fail(errno: Errno, attempts: u32) -> Duration {
        let mut retry = AcceptRetry::new(Arc::default(), RejectionWords::of::<Lf>());
        let before = Instant::now();
        for _ in 0..attempts {
            retry.back_off(errno.into()).await.expect("the listener works");
        }
        before.elapsed()
    }

    /// EPERM was taken for a firewall's refusal of one connection and retried at once. A seccomp filter
    /// refuses every call with it, which kept a core busy without a line in the log.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_to_accept_backs_off() {
        assert_eq!(fail(Errno::PERM, 2).await, 3 * BACK_OFF[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_error_of_accept_is_retried_at_once_for_ever() {
        for raw in (1..134).filter(|raw| ![9, 22, 88].contains(raw)) {
            let took = fail(Errno::from_raw_os_error(raw), CONNECTION_ERRORS_MAX + 1).await;
            assert!(took >= BACK_OFF[0], "errno {raw}");
        }
        assert_eq!(fail(Errno::CONNABORTED, CONNECTION_ERRORS_MAX).await, Duration::ZERO);
    }
}
