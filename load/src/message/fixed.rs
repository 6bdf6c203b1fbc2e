//! A fixed message: one read-only block of repetitions, shared by all connections.

use super::{Message, Part, Position};

/// Bytes that a window from any offset has at least: the largest send.
const WINDOW_BYTES: usize = 64 * 1024;

/// Repetitions of a fixed message. Windows begin in the first repetition.
#[derive(Debug)]
pub(crate) struct Fixed {
    block: Vec<u8>,
    /// The end offsets of the lines of one repetition.
    ends: Vec<u32>,
    /// Length of one repetition in bytes.
    period: usize,
}

impl Fixed {
    pub(super) fn new(message: &Message) -> Self {
        let mut once = Vec::new();
        let mut ends = Vec::new();
        for line in &message.lines {
            for part in line {
                if let Part::Text(text) = part {
                    once.extend_from_slice(text);
                }
            }
            ends.push(once.len() as u32);
        }
        let period = once.len();
        let repetitions = 1 + WINDOW_BYTES.div_ceil(period);
        Self { block: once.repeat(repetitions), ends, period }
    }

    pub(super) fn is_one_line(&self) -> bool {
        self.ends.len() == 1
    }

    #[inline]
    pub(super) fn window(&self, at: Position, want: usize) -> &[u8] {
        let rest = &self.block[self.start(at)..];
        &rest[..want.min(rest.len())]
    }

    #[inline]
    pub(super) fn lines(&self, at: Position, lines: u64) -> &[u8] {
        let start = self.start(at);
        let count = self.ends.len() as u64;
        // The offset, from the start of the block, at which the last of the lines ends.
        let first = at.line % count;
        let last = first + lines;
        let end = (last / count) as usize * self.period + self.start_of(last % count);
        &self.block[start..end.clamp(start, self.block.len())]
    }

    /// For a message of one line only: divides by its length.
    #[inline]
    pub(super) fn advance(&self, at: Position, bytes: usize) -> Position {
        let whole = at.offset as usize + bytes;
        let (lines, offset) = (whole / self.period, whole % self.period);
        Position { line: at.line + lines as u64, offset: offset as u32 }
    }

    fn start(&self, at: Position) -> usize {
        self.start_of(at.line % self.ends.len() as u64) + at.offset as usize
    }

    fn start_of(&self, line: u64) -> usize {
        if line == 0 { 0 } else { self.ends[line as usize - 1] as usize }
    }
}
