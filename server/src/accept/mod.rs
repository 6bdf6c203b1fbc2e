//! The acceptor: a place first, then a connection, then the shard that has the fewest and has room.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{
        Interest,
        unix::{AsyncFd, AsyncFdReadyGuard},
    },
    sync::watch::Receiver,
    time::{Instant, sleep},
};

use crate::{
    accept_error::{ERRNOS, Fault, classify},
    exporter::{Counted, Snapshot},
    gate::{Admitted, Gate},
    listen::{Accepted, Listener},
    refuse::{Refusal, Refuser},
    shard::Handover,
    shared::Now,
    spare::{Spare, lacks_descriptors},
};

/// Most connections accepted before the thread's other duties get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// First and longest pause after an error that only time can mend.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// How long resources must not have been short for the next time to be news for the log.
const EPISODE_ENDS: Duration = Duration::from_secs(5);

/// Connections refused on the spare descriptor one after another, and the pause behind them: peers
/// that come again at once must not cost a processor.
const REFUSALS_PER_BURST: usize = 64;
const REFUSALS_PAUSE: Duration = Duration::from_millis(25);

/// What the acceptor counts.
#[derive(Debug, Default)]
pub(crate) struct AcceptStats {
    /// Refused connections, indexed by [`Refusal`].
    pub(crate) rejected: [AtomicU64; Refusal::ALL.len()],
    /// Errors of accept, indexed by [`ERRNOS`].
    pub(crate) errors: [AtomicU64; ERRNOS.len()],
    /// Held while a connection is accepted. The admin endpoint holds it while it swaps its spare
    /// descriptor for a client, which would otherwise go to a connection that waits here.
    pub(crate) accepting: Mutex<()>,
}

impl AcceptStats {
    /// Adds what was counted.
    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) {
        let Counted { rejected, accept_errors, .. } = &mut snapshot.counted;
        let cells = self.rejected.iter().zip(rejected);
        for (cell, sum) in cells.chain(self.errors.iter().zip(accept_errors)) {
            *sum += cell.load(Relaxed);
        }
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
    /// One, or several of one port.
    pub(crate) listeners: Vec<Listener>,
    pub(crate) gate: Gate,
    pub(crate) now: Receiver<Now>,
    pub(crate) stats: Arc<AcceptStats>,
    pub(crate) deliver: D,
}

impl<D: Deliver> Acceptor<D> {
    /// Runs until `stop`, and then until nobody waits in the kernel's queue; fails only when the
    /// listening socket does.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listeners, gate, now, stats, deliver } = self;
        let queues = Queues::watch(listeners)?;
        let mut accepting = Accepting { queues, gate, now, door: Door::new(stats), deliver };
        tokio::select! {
            biased;
            () = stop => {}
            failed = accepting.accept_for_ever() => return Err(failed),
        }
        accepting.empty_queues().await
    }
}

/// An acceptor at work.
#[derive(Debug)]
struct Accepting<D> {
    queues: Queues,
    gate: Gate,
    now: Receiver<Now>,
    door: Door,
    deliver: D,
}

impl<D: Deliver> Accepting<D> {
    async fn accept_for_ever(&mut self) -> io::Error {
        let Self { queues, gate, now, door, deliver } = self;
        let mut turn = 0_usize;
        loop {
            let next = async {
                let reserved = gate.open().await;
                deliver.ready().await;
                (reserved, door.next(queues).await)
            };
            let (reserved, accepted) = tokio::select! {
                biased;
                // Whatever it waits for may not be what it should wait for any more.
                Ok(()) = now.changed() => {
                    let now = now.borrow_and_update();
                    gate.take_over(&now.effective.settings.limits);
                    gate.memory_is_short(now.relief.refuses);
                    continue;
                }
                next = next => next,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => return error,
            };
            match gate.admit(accepted.peer, reserved) {
                Ok(Admitted { place, mark }) => {
                    let slot = place.place(mark, |shard| deliver.has_room(shard));
                    deliver.deliver(Handover { accepted, slot });
                }
                Err(why) => door.refuser.refuse(accepted, why),
            }
            turn += 1;
            if turn.is_multiple_of(ACCEPTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes those over that wait in the kernel's queues: it would reset them when the sockets are
    /// closed. Their shards, which are draining, let each go in order. They need places, which those
    /// before them free as they go; the drain's deadline bounds the wait. Where a service manager keeps
    /// the socket they stay in it, for who comes next.
    async fn empty_queues(mut self) -> io::Result<()> {
        self.gate.keep_nobody_out();
        for queue in std::mem::take(&mut self.queues.all) {
            self.empty(queue.get_ref()).await?;
        }
        Ok(())
    }

    async fn empty(&mut self, listener: &Listener) -> io::Result<()> {
        // As many as there can have been: who comes later was not promised anything.
        for turn in 1..=listener.would_reset() {
            let Some(place) = self.gate.open().await else { break };
            self.deliver.ready().await;
            match self.door.attempt(listener) {
                Attempt::Accepted(accepted) => {
                    let slot = place.place(None, |shard| self.deliver.has_room(shard));
                    self.deliver.deliver(Handover { accepted, slot });
                }
                Attempt::Refused => {}
                Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Attempt::Failed(error) => self.door.endure(error).await?,
            }
            if turn.is_multiple_of(ACCEPTS_PER_TURN as u32) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// Listening sockets whose connections are taken in turn.
#[derive(Debug)]
struct Queues {
    all: Vec<AsyncFd<Listener>>,
    turn: usize,
}

impl Queues {
    fn watch(listeners: Vec<Listener>) -> io::Result<Self> {
        let watched = listeners.into_iter().map(|listener| watch(listener, Interest::READABLE));
        Ok(Self { all: watched.collect::<io::Result<_>>()?, turn: 0 })
    }

    /// Waits until one of them may have a connection, beginning behind the one that was last.
    async fn readable(&mut self) -> io::Result<AsyncFdReadyGuard<'_, Listener>> {
        let Self { all, turn } = self;
        poll_fn(|cx| {
            for _ in 0..all.len() {
                *turn = (*turn + 1) % all.len();
                if let Poll::Ready(ready) = all[*turn].poll_read_ready(cx) {
                    return Poll::Ready(ready);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// What to do when the listening socket gives no connection.
#[derive(Debug)]
struct Door {
    refuser: Refuser,
    stats: Arc<AcceptStats>,
    spare: Spare,
    /// The pause after the last attempt, if it failed for lack of resources.
    pause: Option<Duration>,
    /// When resources were short last.
    short: Option<Instant>,
    /// Connections refused on the spare descriptor since one was accepted, or a pause made.
    refused: usize,
}

/// What came of one attempt to accept.
enum Attempt {
    Accepted(Accepted),
    /// On the spare descriptor, for lack of others.
    Refused,
    Failed(io::Error),
}

impl Door {
    fn new(stats: Arc<AcceptStats>) -> Self {
        let refuser = Refuser::new(stats.clone());
        Self { refuser, stats, spare: Spare::default(), pause: None, short: None, refused: 0 }
    }

    /// The next connection; fails only when the listening socket does.
    async fn next(&mut self, queues: &mut Queues) -> io::Result<Accepted> {
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
                    if self.refused == REFUSALS_PER_BURST {
                        self.refused = 0;
                        sleep(REFUSALS_PAUSE).await;
                    }
                }
                Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                }
                Attempt::Failed(error) => self.endure(error).await?,
            }
        }
    }

    fn attempt(&mut self, listener: &Listener) -> Attempt {
        let _alone = self.stats.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        self.spare.keep();
        match listener.accept() {
            Ok(accepted) => Attempt::Accepted(accepted),
            Err(error) if lacks_descriptors(&error) && self.spare.is_kept() => {
                self.stats.errors[classify(&error).1].fetch_add(1, Relaxed);
                self.spare.give_up();
                let attempt = match listener.accept() {
                    Ok(accepted) => {
                        self.refuser.refuse_at_once(accepted, Refusal::FdExhausted);
                        Attempt::Refused
                    }
                    Err(error) => Attempt::Failed(error),
                };
                self.spare.keep();
                attempt
            }
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Counts an error and waits as long as it says to.
    async fn endure(&mut self, error: io::Error) -> io::Result<()> {
        let (fault, errno) = classify(&error);
        self.stats.errors[errno].fetch_add(1, Relaxed);
        match fault {
            Fault::Connection => {}
            Fault::Listener => return Err(error),
            Fault::Resources => {
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

/// Registers a descriptor with this thread's driver.
#[expect(
    deprecated,
    reason = "its successor is `unsafe` and asks what holds here: both types we give it own their \
              descriptor, and keep it open and the same for as long as they live"
)]
pub(crate) fn watch<T: AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}
