//! How a connection ended.

use super::ConnectionRow;
use crate::{clock::Nanos, stats::CloseReason};

/// A connection that has ended: why, and what its row said last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// Why it ended.
    pub reason: CloseReason,
    /// When it was read, right after the end.
    pub at: Nanos,
    /// Its row; `None` where connections have none, because nothing is counted.
    pub row: Option<ConnectionRow>,
}

impl ConnectionEnd {
    /// Whether an operator would ask about it: the reason [is abnormal](CloseReason::is_abnormal), and it is
    /// no reset before the first line, with which health checks and port scans end.
    pub fn is_abnormal(&self) -> bool {
        let unused = self.row.as_ref().is_some_and(|row| row.lines == 0);
        self.reason.is_abnormal() && !(unused && self.reason == CloseReason::PeerReset)
    }
}
