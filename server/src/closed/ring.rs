//! The last connections of a shard.

use std::collections::VecDeque;

use super::ClosedConnection;

/// The last connections of a shard that ended. Abnormal ends have a ring of their own, so that usual ones do not
/// push them out. Allocated as it fills.
#[derive(Debug)]
pub(super) struct Ring {
    kept: usize,
    abnormal: VecDeque<ClosedConnection>,
    usual: VecDeque<ClosedConnection>,
}

impl Ring {
    /// Keeps this many of each kind.
    pub(super) const fn new(kept: usize) -> Self {
        Self { kept, abnormal: VecDeque::new(), usual: VecDeque::new() }
    }

    pub(super) fn push(&mut self, closed: ClosedConnection, is_abnormal: bool) {
        let ends = if is_abnormal { &mut self.abnormal } else { &mut self.usual };
        if ends.len() >= self.kept {
            ends.pop_front();
        }
        ends.push_back(closed);
    }

    pub(super) fn abnormal(&self) -> impl Iterator<Item = &ClosedConnection> {
        self.abnormal.iter()
    }

    pub(super) fn usual(&self) -> impl Iterator<Item = &ClosedConnection> {
        self.usual.iter()
    }
}
