use std::ops::AddAssign;

use super::{LineResult, Stats};

/// Lines, or other frames, by how they ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LineResults {
    pub(crate) ok: u32,
    pub(crate) timeout: u32,
    pub(crate) shed: u32,
    pub(crate) error: u32,
}

impl LineResults {
    /// `frames` that ended with `result`.
    pub(crate) fn of(result: LineResult, frames: u32) -> Self {
        let mut results = Self::default();
        results.add(result, frames);
        results
    }

    /// Adds `frames` that ended with `result`.
    pub(crate) const fn add(&mut self, result: LineResult, frames: u32) {
        match result {
            LineResult::Ok => self.ok += frames,
            LineResult::Timeout => self.timeout += frames,
            LineResult::Shed => self.shed += frames,
            LineResult::Error => self.error += frames,
        }
    }

    /// All of them.
    pub(crate) fn frames(self) -> u32 {
        [self.ok, self.timeout, self.shed, self.error].into_iter().fold(0, u32::saturating_add)
    }

    /// Counts them as processed.
    pub(crate) fn count_in(self, stats: &Stats) {
        if !stats.is_counted() {
            return;
        }
        let Self { ok, timeout, shed, error } = self;
        for (result, frames) in [
            (LineResult::Ok, ok),
            (LineResult::Timeout, timeout),
            (LineResult::Shed, shed),
            (LineResult::Error, error),
        ] {
            if frames > 0 {
                stats.lines_processed[result as usize].add(frames.into());
            }
        }
    }
}

impl AddAssign for LineResults {
    fn add_assign(&mut self, other: Self) {
        self.ok += other.ok;
        self.timeout += other.timeout;
        self.shed += other.shed;
        self.error += other.error;
    }
}
