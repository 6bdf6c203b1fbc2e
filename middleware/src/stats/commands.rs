//! Commands of a router, by how they ended.

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    COARSE, Clock, CommandResult, Histogram, HistogramSnapshot, Nanos,
    counter::{Writers, add},
};

/// What is counted of the commands of one router on one shard: a cell for each.
#[derive(Debug)]
pub struct CommandStats {
    clock: Clock,
    writers: Writers,
    /// By the number of the command.
    cells: Box<[CommandCell]>,
}

/// Aligned as [`Stats`](super::Stats) is, so that the cells of two shards share no cache line.
#[derive(Debug)]
#[repr(align(128))]
struct CommandCell {
    results: [AtomicU64; CommandResult::ALL.len()],
    /// Of a timed command.
    durations: Option<Box<Histogram>>,
    command: &'static str,
}

/// A command to count: the value of its label, and whether it is timed.
pub(crate) type CountedCommand = (&'static str, bool);

/// What was counted of one command when it was read. Snapshots of several shards merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSnapshot {
    /// The value of its label: the verb as the router has it, or `other`.
    pub command: &'static str,
    /// How often it ended, indexed by [`CommandResult`].
    pub results: [u64; CommandResult::ALL.len()],
    /// How long it took, if it is timed; with the bounds [`COARSE`].
    pub durations: Option<HistogramSnapshot>,
}

impl CommandStats {
    pub(super) fn new(commands: &[CountedCommand], clock: Clock, writers: Writers) -> Self {
        let cell = |&(command, timed): &CountedCommand| CommandCell {
            results: array::from_fn(|_| AtomicU64::new(0)),
            durations: timed.then(|| Box::new(Histogram::new(&COARSE, writers))),
            command,
        };
        Self { clock, writers, cells: commands.iter().map(cell).collect() }
    }

    /// Whether these are the commands that are counted here.
    pub(super) fn are(&self, commands: &[CountedCommand]) -> bool {
        let counted = self.cells.iter().map(|cell| (cell.command, cell.durations.is_some()));
        counted.eq(commands.iter().copied())
    }

    /// Counts the command `number`. *Costs*: as [`Counter`](super::Counter).
    #[inline]
    pub(crate) fn count(&self, number: usize, result: CommandResult) {
        if let Some(cell) = self.cells.get(number) {
            add(&cell.results[result as usize], 1, self.writers);
        }
    }

    /// Reads the clock (20 to 40 ns).
    pub(crate) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Records how long the command `number` took. Reads the clock.
    pub(crate) fn record(&self, number: usize, begun: Nanos) {
        if let Some(durations) = self.cells.get(number).and_then(|cell| cell.durations.as_ref()) {
            durations.record(self.now().0.saturating_sub(begun.0));
        }
    }

    /// All commands, in the order in which the router names them, `other` last.
    pub fn snapshot(&self) -> Vec<CommandSnapshot> {
        let read = |cell: &CommandCell| CommandSnapshot {
            command: cell.command,
            results: array::from_fn(|at| cell.results[at].load(Relaxed)),
            durations: cell.durations.as_ref().map(|durations| durations.snapshot()),
        };
        self.cells.iter().map(read).collect()
    }
}

impl CommandSnapshot {
    /// Adds what another shard counted of the same command.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.results.iter_mut().zip(other.results) {
            *mine += theirs;
        }
        if let (Some(mine), Some(theirs)) = (&mut self.durations, &other.durations) {
            mine.merge(theirs);
        }
    }
}

/// A command whose reply is not complete: it is counted when it is.
#[derive(Debug, Clone)]
pub(crate) struct PendingCommand {
    pub(crate) stats: Arc<CommandStats>,
    pub(crate) number: usize,
    /// When it was called, if it is timed.
    pub(crate) begun: Option<Nanos>,
}

impl PendingCommand {
    /// Counts it.
    pub(crate) fn count(&self, result: CommandResult) {
        self.stats.count(self.number, result);
    }

    /// Records how long it took.
    pub(crate) fn record(&self) {
        if let Some(begun) = self.begun {
            self.stats.record(self.number, begun);
        }
    }
}
