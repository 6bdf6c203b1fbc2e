//! A message that never changes: one block of repetitions, shared by everybody, read only.

use super::{Message, Piece, Position};

/// The least a window from any offset reaches: what one send is given at most.
const REACH: usize = 64 * 1024;

/// Repetitions of a fixed message. A position is an offset into the first repetition.
#[derive(Debug)]
pub(crate) struct Fixed {
    block: Vec<u8>,
    /// Where each line of one repetition ends.
    ends: Vec<u32>,
    /// Bytes of one repetition.
    period: usize,
}

impl Fixed {
    pub(super) fn new(message: &Message) -> Self {
        let mut once = Vec::new();
        let mut ends = Vec::new();
        for line in &message.lines {
            for piece in line {
                if let Piece::Text(text) = piece {
                    once.extend_from_slice(text);
                }
            }
            ends.push(once.len() as u32);
        }
        let period = once.len();
        let repetitions = 1 + REACH.div_ceil(period);
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
        // Full repetitions, then the lines of the last, measured from the start of the line at hand.
        let first = at.line % count;
        let last = first + lines;
        let end = (last / count) as usize * self.period + self.start_of(last % count);
        &self.block[start..end.clamp(start, self.block.len())]
    }

    /// Only for a message of one line: its length divides the way.
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
