//! Commands to the tasks that supervise worker processes, and how those processes end.

use std::{io, process::ExitStatus};

use tokio::sync::oneshot;
use towline::internal::{ClosedJson, WantedRows, commands::Closing};

use crate::message::{Id, RowsPart, SettingsText};

/// A command to the task that supervises a process.
#[derive(Debug)]
pub(crate) enum Command {
    /// Record the latest counts; answered when that is done.
    SendCounts(oneshot::Sender<()>),
    /// Answer with rows of open connections, as they were encoded, in parts. Dropping the sender answers that
    /// there are none to be had.
    SendRows(WantedRows, oneshot::Sender<Vec<RowsPart>>),
    /// Answer with the last connections that ended, up to this many.
    SendClosed(usize, oneshot::Sender<Vec<ClosedJson>>),
    /// Apply new settings; answered with the reason if they are not applied.
    Reload(SettingsText, oneshot::Sender<Result<(), String>>),
    /// Ask these connections to close; answered with those that are not open.
    Close(Vec<Id>, Closing, oneshot::Sender<Vec<Id>>),
    /// Drain, and do not restart.
    Drain,
    /// No further connection follows.
    NoMoreConnections,
    /// Cut remaining connections and exit, and do not restart.
    Cut,
}

/// Why a process was told to end, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopIntent {
    /// It was not.
    None,
    /// It received SIGTERM; another process replaces it.
    Replace,
    /// The server ends.
    Stop,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct WorkerExit {
    pub(crate) stop_intent: StopIntent,
    pub(crate) status: io::Result<ExitStatus>,
    /// The connections that it cut; `None` if it ended without reporting them.
    pub(crate) cut: Option<u64>,
}
