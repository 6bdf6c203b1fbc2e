//! The next connection, however often accept fails before.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    AcceptStats,
    error::{AcceptErrorClass, classify},
    listen::{Accepted, Listener},
    listener_set::ListenerSet,
    reject::Rejector,
    reserve_fd::{ReserveFd, lacks_descriptors},
};
use crate::counts::Rejection;

/// First and longest pause after an error that only time can mend.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// How long resources must not have been short for the next time to be news for the log.
const EPISODE_ENDS: Duration = Duration::from_secs(5);

/// Connections refused on the reserve descriptor one after another, and the pause behind them: peers
/// that come again at once must not cost a processor.
const REJECTIONS_PER_BURST: usize = 64;
const REJECTIONS_PAUSE: Duration = Duration::from_millis(25);

/// What to do when the listening socket gives no connection.
#[derive(Debug)]
pub(super) struct AcceptRetry {
    pub(super) rejector: Rejector,
    stats: Arc<AcceptStats>,
    reserve: ReserveFd,
    /// The pause after the last attempt, if it failed for lack of resources.
    pause: Option<Duration>,
    /// When resources were short last.
    short: Option<Instant>,
    /// Connections refused on the reserve descriptor since one was accepted, or a pause made.
    refused: usize,
}

/// What came of one attempt to accept.
pub(super) enum Attempt {
    Accepted(Accepted),
    /// On the reserve descriptor, for lack of others.
    Refused,
    Failed(io::Error),
}

impl AcceptRetry {
    pub(super) fn new(stats: Arc<AcceptStats>) -> Self {
        let rejector = Rejector::new(stats.clone());
        Self {
            rejector,
            stats,
            reserve: ReserveFd::default(),
            pause: None,
            short: None,
            refused: 0,
        }
    }

    /// The next connection; fails only when the listening socket does.
    pub(super) async fn next(&mut self, queues: &mut ListenerSet) -> io::Result<Accepted> {
        loop {
            let mut ready = queues.readable().await?;
            match self.attempt(ready.get_inner()) {
                Attempt::Accepted(accepted) => {
                    self.refused = 0;
                    if self.pause.take().is_some() {
                        tracing::debug!("accepting again");
                    }
                    return Ok(accepted);
                }
                Attempt::Refused => {
                    self.pause = None;
                    if self.begins_episode() {
                        tracing::warn!("no descriptor left, refusing connections");
                    }
                    self.refused += 1;
                    if self.refused == REJECTIONS_PER_BURST {
                        self.refused = 0;
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

    pub(super) fn attempt(&mut self, listener: &Listener) -> Attempt {
        let _alone = self.stats.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve.acquire();
        match listener.accept() {
            Ok(accepted) => Attempt::Accepted(accepted),
            Err(error) if lacks_descriptors(&error) && self.reserve.is_held() => {
                self.stats.errors[classify(&error).1].fetch_add(1, Relaxed);
                self.reserve.release();
                let attempt = match listener.accept() {
                    Ok(accepted) => {
                        self.rejector.reject_at_once(accepted, Rejection::FdExhausted);
                        Attempt::Refused
                    }
                    Err(error) => Attempt::Failed(error),
                };
                self.reserve.acquire();
                attempt
            }
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Counts an error and waits as long as it says to.
    pub(super) async fn back_off(&mut self, error: io::Error) -> io::Result<()> {
        let (fault, errno) = classify(&error);
        self.stats.errors[errno].fetch_add(1, Relaxed);
        match fault {
            AcceptErrorClass::Connection => {}
            AcceptErrorClass::Listener => return Err(error),
            AcceptErrorClass::Resources => {
                if self.begins_episode() {
                    tracing::warn!(%error, "cannot accept, backing off");
                }
                let now = self.pause.map_or(BACK_OFF[0], |last| (2 * last).min(BACK_OFF[1]));
                self.pause = Some(now);
                sleep(now).await;
            }
        }
        Ok(())
    }

    /// Notes that resources are short, and tells whether that is news: not at every attempt, and not
    /// for each connection that ends and lets another in.
    fn begins_episode(&mut self) -> bool {
        let now = Instant::now();
        self.short.replace(now).is_none_or(|last| now - last >= EPISODE_ENDS)
    }
}
