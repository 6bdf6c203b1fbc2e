//! The acceptor: a place first, then a connection, then the shard that has the fewest and has room.

use std::{
    future::Future,
    io,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Semaphore,
    time::{Instant, sleep},
};
use towline_config::Admission;

use crate::{
    listen::{Accepted, Listener, dismiss},
    shard::Handover,
    slots::Slots,
};

/// Most connections accepted before the thread's other duties get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// First and longest pause after an error that only time can mend.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// How often the log tells that there are no resources.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Refused connections that may wait for their goodbye to arrive at once; more are just closed.
const DISMISSALS_MAX: usize = 256;

/// How long a refused connection may take to read its goodbye.
const DISMISSAL: Duration = Duration::from_secs(1);

const TOO_MANY: &[u8] = b"ERR too many connections\n";

/// What the acceptor counts.
#[derive(Debug, Default)]
pub(crate) struct AcceptStats {
    /// Refused at the connection limit.
    pub(crate) rejected: AtomicU64,
    /// Errors of accept, indexed by [`ERRNOS`].
    pub(crate) errors: [AtomicU64; ERRNOS.len()],
    /// Held while a connection is accepted. The admin endpoint holds it while it swaps its spare
    /// descriptor for a client, which would otherwise go to a connection that waits here.
    pub(crate) accepting: Mutex<()>,
}

/// The errors of accept(2) told apart in metrics; the last stands for all others.
pub(crate) const ERRNOS: [&str; 6] =
    ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "other"];

/// What an error of accept(2) says about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One connection, which is gone: go on.
    Connection,
    /// The host's resources: wait, they may come back.
    Resources,
    /// The listening socket: it will not work again.
    Listener,
}

/// Sorts an error, as accept(2) of the Linux manual lists them.
fn classify(error: &io::Error) -> (Fault, usize) {
    use rustix::io::Errno;
    let fault = |at: &str| ERRNOS.iter().position(|name| *name == at).unwrap_or(ERRNOS.len() - 1);
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => (Fault::Resources, fault("EMFILE")),
        Some(Errno::NFILE) => (Fault::Resources, fault("ENFILE")),
        Some(Errno::NOBUFS) => (Fault::Resources, fault("ENOBUFS")),
        Some(Errno::NOMEM) => (Fault::Resources, fault("ENOMEM")),
        Some(Errno::CONNABORTED) => (Fault::Connection, fault("ECONNABORTED")),
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => (Fault::Listener, fault("other")),
        // Network errors already pending on the new socket, a firewall's refusal, a signal.
        Some(
            Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::CONNRESET
            | Errno::TIMEDOUT
            | Errno::PERM
            | Errno::INTR,
        ) => (Fault::Connection, fault("other")),
        // Nothing says that the next attempt fares better, so it must not come at once.
        _ => (Fault::Resources, fault("other")),
    }
}

/// Where accepted connections go.
pub(crate) trait Deliver {
    /// Waits until some shard can take a connection over at once. Nothing is accepted before.
    fn ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Whether that shard can.
    fn has_room(&self, shard: usize) -> bool;

    /// Hands a connection to the shard that its slot is on.
    fn deliver(&mut self, handover: Handover);
}

/// Accepts connections and delivers each with its place.
#[derive(Debug)]
pub(crate) struct Acceptor<D> {
    pub(crate) listener: Listener,
    pub(crate) slots: Arc<Slots>,
    pub(crate) admission: Admission,
    pub(crate) stats: Arc<AcceptStats>,
    pub(crate) deliver: D,
}

impl<D: Deliver> Acceptor<D> {
    /// Runs until `stop`; fails only when the listening socket does.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            biased;
            () = stop => Ok(()),
            failed = self.accept_for_ever() => Err(failed),
        }
    }

    async fn accept_for_ever(self) -> io::Error {
        let Self { listener, slots, admission, stats, mut deliver } = self;
        let listener = match watch_readable(listener) {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        let dismissals = Arc::new(Semaphore::new(DISMISSALS_MAX));
        let mut pause: Option<Duration> = None;
        let mut told = None;
        let mut turn = 0_usize;
        loop {
            // The place comes first: at the limit connections wait in the kernel's queue, not in
            // our memory.
            let reserved = match admission {
                Admission::Wait => Some(slots.reserve().await),
                Admission::Reject => None,
            };
            deliver.ready().await;
            match next(&listener, &stats.accepting).await {
                Ok(accepted) => {
                    if pause.take().is_some() {
                        tracing::debug!("accepting again");
                    }
                    match reserved.or_else(|| slots.try_reserve()) {
                        Some(place) => {
                            let slot = place.place(|shard| deliver.has_room(shard));
                            deliver.deliver(Handover { accepted, slot });
                        }
                        None => {
                            stats.rejected.fetch_add(1, Relaxed);
                            reject(accepted, &dismissals);
                        }
                    }
                }
                Err(error) => {
                    let (fault, errno) = classify(&error);
                    stats.errors[errno].fetch_add(1, Relaxed);
                    match fault {
                        Fault::Connection => {}
                        Fault::Listener => return error,
                        Fault::Resources => {
                            // Not one line an attempt, and not one for each connection that ends
                            // and lets another in.
                            if told.is_none_or(|told: Instant| told.elapsed() >= TELL_AGAIN) {
                                tracing::warn!(%error, "cannot accept, backing off");
                                told = Some(Instant::now());
                            }
                            let now = pause.map_or(BACK_OFF[0], |last| (2 * last).min(BACK_OFF[1]));
                            pause = Some(now);
                            sleep(now).await;
                        }
                    }
                }
            }
            turn += 1;
            if turn.is_multiple_of(ACCEPTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Registers a descriptor with this thread's driver.
#[expect(
    deprecated,
    reason = "its successor is `unsafe` and asks what holds here: both types we give it own their \
              descriptor, and keep it open and the same for as long as they live"
)]
fn watch_readable<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, Interest::READABLE)
}

/// The next connection, or what accept(2) has to say.
async fn next(listener: &AsyncFd<Listener>, accepting: &Mutex<()>) -> io::Result<Accepted> {
    loop {
        let mut ready = listener.readable().await?;
        let result = {
            let _alone = accepting.lock().unwrap_or_else(PoisonError::into_inner);
            ready.get_inner().accept()
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            result => return result,
        }
    }
}

/// Tells a connection that there is no place for it, and sees to it that it can read that.
fn reject(accepted: Accepted, dismissals: &Arc<Semaphore>) {
    dismiss(&accepted.socket, TOO_MANY);
    let Ok(permit) = dismissals.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        // Closing with unread input makes the kernel send a reset, which overtakes the line. So
        // read and forget until the peer closes.
        let Ok(socket) = watch_readable(accepted.socket) else {
            return;
        };
        let mut forgotten = [0; 4096];
        let read_on = async {
            while let Ok(mut ready) = socket.readable().await {
                let flags = rustix::net::RecvFlags::empty();
                match rustix::net::recv(ready.get_inner(), &mut forgotten, flags) {
                    Ok((0, _)) => break,
                    Ok(_) => {}
                    Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                    Err(_) => break,
                }
            }
        };
        let _ = tokio::time::timeout(DISMISSAL, read_on).await;
        drop(permit);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_fall_into_three_classes() {
        let class = |errno: rustix::io::Errno| {
            let (fault, at) = classify(&io::Error::from(errno));
            (fault, ERRNOS[at])
        };
        use rustix::io::Errno;
        assert_eq!(class(Errno::MFILE), (Fault::Resources, "EMFILE"));
        assert_eq!(class(Errno::NOMEM), (Fault::Resources, "ENOMEM"));
        assert_eq!(class(Errno::CONNABORTED), (Fault::Connection, "ECONNABORTED"));
        assert_eq!(class(Errno::PERM), (Fault::Connection, "other"));
        assert_eq!(class(Errno::INVAL), (Fault::Listener, "other"));
        assert_eq!(class(Errno::NOSYS), (Fault::Resources, "other"));
    }
}
