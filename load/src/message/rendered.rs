//! A message with parts that change: its bytes are made when they are needed, and made alike again.

use super::{Message, Piece, Position};

/// What a call for whole lines renders at most before it returns.
const REACH: usize = 64 * 1024;
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// Lines rendered from their template, the connection's number and the line's number.
#[derive(Debug)]
pub(crate) struct Rendered {
    lines: Vec<Vec<Piece>>,
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
        while scratch.len() < start + want.min(REACH) {
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
            if scratch.len() >= at.offset as usize + REACH {
                break;
            }
        }
        &scratch[(at.offset as usize).min(scratch.len())..]
    }

    fn line(&self, connection: u64, line: u64, out: &mut Vec<u8>) {
        let pieces = &self.lines[(line % self.lines.len() as u64) as usize];
        render(pieces, connection, line, self.seed, out);
    }
}

/// Appends one line: the same arguments always give the same bytes, which is what verification rests on.
pub(super) fn render(pieces: &[Piece], connection: u64, line: u64, seed: u64, out: &mut Vec<u8>) {
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Connection => decimal(connection, out),
            Piece::Sequence => decimal(line, out),
            Piece::Random(len) => {
                let key = mix(seed ^ mix(connection) ^ mix(line.rotate_left(32)) ^ place as u64);
                random(key, usize::from(*len), out);
            }
        }
    }
}

/// Digits without the machinery of formatting: this runs once per line sent.
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

/// SplitMix64's step: one round spreads every input bit over the word.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
