//! Connections that have ended: the last ones, and their records in the log.
//!
//! | file | holds |
//! |---|---|
//! | `ring.rs` | the last connections of a shard, abnormal ends apart |
//! | `rate.rs` | how many records a second are written |
//! | `figures.rs` | what the kernel knows of their sockets |
//! | `log.rs` | the record |

pub(crate) mod figures;
mod log;
mod rate;
mod ring;

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use towline_config::ConnectionLog;
use towline_middleware::{
    connections::{ConnectionEnd, ConnectionRow},
    stats::{CloseReason, Nanos},
};

pub use self::figures::SocketFigures;
use self::{log::Ended, rate::Rate, ring::Ring};
use crate::counts::{ProcessPlace, PublicId};

/// Records of abnormal ends that are written in a second, by a process.
const ABNORMAL_PER_SECOND_MAX: u32 = 100;

/// Records of usual ends that are written in a second, by a process. Apart, so that they leave room for
/// abnormal ones.
const USUAL_PER_SECOND_MAX: u32 = 1_000;

/// Connections of each kind, abnormal and usual, that a process remembers.
const REMEMBERED_MAX: usize = 1_024;

/// And each of its shards at least.
const REMEMBERED_MIN: usize = 64;

/// A connection that has ended.
#[derive(Debug, Clone)]
pub struct ClosedConnection {
    /// What it was called; `None` where nothing is counted.
    pub id: Option<PublicId>,
    /// How it ended, and what its row said.
    pub end: ConnectionEnd,
    /// What the kernel said of its socket. Known of those whose record is written to the log, and of
    /// abnormal ends at the same rate.
    pub socket: Option<SocketFigures>,
}

/// What is asked of a socket whose connection ends, before it is closed.
pub(crate) trait EndedSocket {
    /// The peer, if the socket still has one.
    fn peer(&self) -> Option<crate::Peer>;
    /// The address to which the peer connected.
    fn listener(&self) -> Option<String>;
    /// What the kernel knows. A system call or a few.
    fn figures(&self) -> Option<SocketFigures>;
    /// What was wrong, in a few words, if the reason alone does not say it.
    fn detail(&self) -> Option<String> {
        None
    }
}

/// Where the connections of a process end: remembers the last ones, and writes records to the log.
#[derive(Debug)]
pub struct ClosedConnections {
    place: ProcessPlace,
    /// The `log.connections` in force.
    log: AtomicU8,
    shards: Box<[ShardRing]>,
    abnormal: Mutex<Rate>,
    usual: Mutex<Rate>,
}

#[derive(Debug)]
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
struct ShardRing(Mutex<Ring>);

const LOGS: [ConnectionLog; 3] = [ConnectionLog::Off, ConnectionLog::Abnormal, ConnectionLog::All];

fn log_of(index: &AtomicU8) -> ConnectionLog {
    LOGS[usize::from(index.load(Relaxed)).min(LOGS.len() - 1)]
}

impl ClosedConnections {
    /// Of a process with this many shards.
    pub fn new(shards: usize, place: ProcessPlace, log: ConnectionLog) -> Self {
        let kept = REMEMBERED_MAX.div_ceil(shards.max(1)).max(REMEMBERED_MIN);
        let shard = |_| ShardRing(Mutex::new(Ring::new(kept)));
        let closed = Self {
            place,
            log: AtomicU8::new(0),
            shards: (0..shards).map(shard).collect(),
            abnormal: Mutex::new(Rate::new(ABNORMAL_PER_SECOND_MAX)),
            usual: Mutex::new(Rate::new(USUAL_PER_SECOND_MAX)),
        };
        closed.set_log(log);
        closed
    }

    /// Where the shards of this process stand among those of all processes.
    pub const fn place(&self) -> ProcessPlace {
        self.place
    }

    /// What the open connection of a shard is called.
    pub(crate) fn name(&self, shard: usize, row: &ConnectionRow) -> PublicId {
        self.place.name(shard, row.id.serial)
    }

    /// From now on writes records of the connections that `log` names.
    pub fn set_log(&self, log: ConnectionLog) {
        let index = LOGS.iter().position(|known| *known == log).unwrap_or(0);
        self.log.store(index as u8, Relaxed);
        figures::set_log(index as u8);
    }

    /// Takes a connection of a shard that has ended and whose socket is still there.
    pub(crate) fn add(&self, shard: usize, end: ConnectionEnd, socket: &impl EndedSocket) {
        let is_abnormal = end.is_abnormal();
        let wanted = log::is_enabled()
            && match log_of(&self.log) {
                ConnectionLog::All => true,
                ConnectionLog::Abnormal => is_abnormal,
                _ => false,
            };
        let rate = if is_abnormal { &self.abnormal } else { &self.usual };
        let admitted = (wanted || is_abnormal) && lock(rate).admit(end.at, wanted);
        let id = end.row.as_ref().map(|row| self.name(shard, row));
        let figures = if admitted { socket.figures() } else { None };
        let closed = ClosedConnection { id, end, socket: figures };
        if wanted && admitted {
            Ended { closed: &closed, socket }.write();
        } else if closed.end.reason == CloseReason::ServicePanic {
            Ended { closed: &closed, socket }.write_panic();
        }
        // Without a row nothing is known of it that a list could show.
        if closed.id.is_some()
            && let Some(ShardRing(ring)) = self.shards.get(shard)
        {
            lock(ring).push(closed, is_abnormal);
        }
    }

    /// The last connections that ended, up to `max`, the newest first. At least half of them are abnormal ends, if
    /// there were as many.
    pub fn last(&self, max: usize) -> Vec<ClosedConnection> {
        let (mut abnormal, mut usual) = (Vec::new(), Vec::new());
        for ShardRing(ring) in &self.shards {
            let ring = lock(ring);
            abnormal.extend(ring.abnormal().cloned());
            usual.extend(ring.usual().cloned());
        }
        for ends in [&mut abnormal, &mut usual] {
            newest_first(ends);
        }
        let usual_max = max.saturating_sub(abnormal.len()).max(max / 2).min(usual.len());
        usual.truncate(usual_max);
        abnormal.truncate(max - usual_max);
        abnormal.append(&mut usual);
        newest_first(&mut abnormal);
        abnormal
    }

    /// Logs how many records were left out since this was called last, once the rate has fallen.
    pub fn report_left_out(&self, now: Nanos) {
        let left_out = [&self.abnormal, &self.usual].map(|rate| lock(rate).take_left_out(now));
        let left_out: u64 = left_out.into_iter().sum();
        if left_out > 0 {
            log::write_left_out(left_out);
        }
    }
}

fn newest_first(ends: &mut [ClosedConnection]) {
    ends.sort_by_key(|closed| std::cmp::Reverse(closed.end.at));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
