//! A message with variable parts, rendered on demand. The same line always renders to the same bytes.

use super::{Message, Part, Position};

/// Bytes that one call renders at most, the last line aside.
const RENDERED_BYTES_MAX: usize = 64 * 1024;
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// Lines rendered from the template, the connection's number and the line's number.
#[derive(Debug)]
pub(crate) struct Rendered {
    lines: Vec<Vec<Part>>,
    seed: u64,
}

impl Rendered {
    pub(super) fn new(message: &Message, seed: u64) -> Self {
        Self { lines: message.lines.clone(), seed }
    }

    pub(super) fn window<'a>(
        &self,
        connection: u64,
        at: Position,
        want: usize,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let start = at.offset as usize;
        scratch.clear();
        let mut line = at.line;
        while scratch.len() < start + want.min(RENDERED_BYTES_MAX) {
            self.line(connection, line, scratch);
            line += 1;
        }
        &scratch[start..scratch.len().min(start + want)]
    }

    pub(super) fn lines<'a>(
        &self,
        connection: u64,
        at: Position,
        lines: u64,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        scratch.clear();
        for line in at.line..at.line + lines {
            self.line(connection, line, scratch);
            if scratch.len() >= at.offset as usize + RENDERED_BYTES_MAX {
                break;
            }
        }
        &scratch[(at.offset as usize).min(scratch.len())..]
    }

    fn line(&self, connection: u64, line: u64, out: &mut Vec<u8>) {
        let parts = &self.lines[(line % self.lines.len() as u64) as usize];
        render(parts, connection, line, self.seed, out);
    }
}

/// Appends one line to `out`. The same arguments always give the same bytes; verification relies on it.
pub(super) fn render(parts: &[Part], connection: u64, line: u64, seed: u64, out: &mut Vec<u8>) {
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Connection => decimal(connection, out),
            Part::Sequence => decimal(line, out),
            Part::Random(len) => {
                let key = mix(seed ^ mix(connection) ^ mix(line.rotate_left(32)) ^ index as u64);
                random(key, usize::from(*len), out);
            }
        }
    }
}

/// Appends a number in decimal. Faster than `write!`; runs once or more per line sent.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn random(mut state: u64, len: usize, out: &mut Vec<u8>) {
    for done in (0..len).step_by(10) {
        state = mix(state);
        for digit in 0..10.min(len - done) {
            out.push(ALPHABET[(state >> (6 * digit)) as usize & 63]);
        }
    }
}

/// A step of SplitMix64: every input bit affects the whole word.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
