//! What is sent: a message of one or more lines, fixed or with parts that change.
//!
//! `ping\n` is the same for every connection and every line, and is sent from one shared block.
//! `set {conn} {seq}\n` names its connection and its place, so that a lost, repeated or swapped reply
//! shows; such lines are rendered as they are sent and again, for comparison, as their replies arrive.

mod fixed;
mod rendered;
mod stream;

pub(crate) use stream::{Position, Stream};

use crate::error::LoadError;

/// A message as its author wrote it, split into lines and pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    lines: Vec<Vec<Piece>>,
    complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// The connection's number, from 0.
    Connection,
    /// The line's number on its connection, from 0.
    Sequence,
    /// So many letters and digits, different for every line.
    Random(u16),
}

/// The longest `{rand:N}`.
const RANDOM_MAX: u16 = 4096;

impl Message {
    /// Reads a message: escapes `\n \r \t \0 \\ \xNN`, and the parts `{conn}` (the connection's
    /// number), `{seq}` (the line's number on its connection) and `{rand:N}` (N letters and digits).
    /// tcpkali's `\{connection.uid}` is `{conn}`. Braces around anything but a lower-case word stand
    /// for themselves, so JSON needs no escapes.
    ///
    /// # Errors
    /// When it is empty, or has an escape or a part nobody defined.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let mut reader = Reader { lines: vec![Vec::new()], rest: text };
        while !reader.rest.is_empty() {
            reader.step()?;
        }
        let mut lines = reader.lines;
        let complete = lines.last().is_some_and(Vec::is_empty);
        if complete {
            lines.pop();
        }
        if lines.is_empty() {
            return Err(LoadError::usage(
                "the message is empty: expected a line such as `ping\\n`",
            ));
        }
        Ok(Self { lines, complete })
    }

    /// Whether the message ends in a newline, as a line protocol wants.
    pub fn ends_in_newline(&self) -> bool {
        self.complete
    }

    /// Whether every connection sends the same bytes over and over.
    pub fn is_fixed(&self) -> bool {
        self.lines.iter().flatten().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Whether two lines of a connection differ, so that one lost or repeated can be told by content.
    pub fn numbers_its_lines(&self) -> bool {
        let numbered = |p: &Piece| matches!(p, Piece::Sequence | Piece::Random(_));
        self.lines.iter().all(|line| line.iter().any(numbered))
    }

    /// Bytes of one whole message as the first connection first sends it.
    pub fn first_len(&self) -> usize {
        let mut out = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            rendered::render(line, 0, i as u64, 0, &mut out);
        }
        out.len()
    }

    /// Bytes of a line, on the average of one message.
    pub(crate) fn mean_line(&self) -> u64 {
        (self.first_len() / self.lines.len()) as u64
    }

    /// Whether the message is the line a server sends as its heartbeat.
    pub(crate) fn is_heartbeat(&self) -> bool {
        self.lines == [vec![Piece::Text(b"ping\n".to_vec())]]
    }
}

struct Reader<'a> {
    lines: Vec<Vec<Piece>>,
    rest: &'a str,
}

impl Reader<'_> {
    fn step(&mut self) -> Result<(), LoadError> {
        if let Some(rest) = self.rest.strip_prefix("\\{connection.uid}") {
            self.rest = rest;
            self.piece(Piece::Connection);
            return Ok(());
        }
        if let Some(after) = self.rest.strip_prefix('\\') {
            return self.escape(after);
        }
        if let Some((name, rest)) = part(self.rest) {
            let piece = named(name)?;
            self.rest = rest;
            self.piece(piece);
            return Ok(());
        }
        let mut bytes = self.rest.chars();
        let first = bytes.next().map_or(0, char::len_utf8);
        let (head, rest) = self.rest.split_at(first);
        self.rest = rest;
        head.bytes().for_each(|b| self.byte(b));
        Ok(())
    }

    fn escape(&mut self, after: &str) -> Result<(), LoadError> {
        let (byte, used) = match after.bytes().next() {
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => match after.get(1..3).map(|h| u8::from_str_radix(h, 16)) {
                Some(Ok(byte)) => (byte, 3),
                _ => return Err(unknown_escape(after)),
            },
            _ => return Err(unknown_escape(after)),
        };
        self.rest = &self.rest[1 + used..];
        self.byte(byte);
        Ok(())
    }

    fn byte(&mut self, byte: u8) {
        let Some(line) = self.lines.last_mut() else { return };
        match line.last_mut() {
            Some(Piece::Text(text)) => text.push(byte),
            _ => line.push(Piece::Text(vec![byte])),
        }
        if byte == b'\n' {
            self.lines.push(Vec::new());
        }
    }

    fn piece(&mut self, piece: Piece) {
        if let Some(line) = self.lines.last_mut() {
            line.push(piece);
        }
    }
}

/// `{word}` or `{word:…}` at the start of `text`: the inside, and what follows.
fn part(text: &str) -> Option<(&str, &str)> {
    let (inside, rest) = text.strip_prefix('{')?.split_once('}')?;
    let word = inside.split(':').next()?;
    let lower = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    lower.then_some((inside, rest))
}

fn named(name: &str) -> Result<Piece, LoadError> {
    match name.split_once(':') {
        None if name == "conn" => Ok(Piece::Connection),
        None if name == "seq" => Ok(Piece::Sequence),
        Some(("rand", n)) => match n.parse() {
            Ok(n) if (1..=RANDOM_MAX).contains(&n) => Ok(Piece::Random(n)),
            _ => Err(LoadError::usage(format!(
                "`{{{name}}}` in the message: expected a length from 1 to {RANDOM_MAX}"
            ))),
        },
        _ => Err(LoadError::usage(format!(
            "`{{{name}}}` in the message is not known: expected {{conn}}, {{seq}} or {{rand:N}} \
             (\\x7b writes a plain brace)"
        ))),
    }
}

fn unknown_escape(after: &str) -> LoadError {
    let shown: String = after.chars().take(1).collect();
    LoadError::usage(format!(
        "`\\{shown}` in the message is not an escape: expected \\n, \\r, \\t, \\0, \\\\ or \\xNN"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_real_newlines_both_end_lines() {
        let message = Message::parse("a\\nb\nc").unwrap();
        assert_eq!(message.lines.len(), 3);
        assert!(!message.ends_in_newline());
        assert!(Message::parse("ping\\n").unwrap().is_heartbeat());
        assert!(Message::parse("ping\n").unwrap().is_heartbeat());
    }

    #[test]
    fn braces_of_json_stand_for_themselves() {
        let message = Message::parse("{\"id\":{seq},\"x\":{}}\\n").unwrap();
        assert!(message.numbers_its_lines());
        assert_eq!(message.first_len(), "{\"id\":0,\"x\":{}}\n".len());
    }

    #[test]
    fn the_spelling_of_tcpkali_is_understood() {
        let message = Message::parse("u\\{connection.uid}\\n").unwrap();
        assert_eq!(message.lines[0][1], Piece::Connection);
    }

    #[test]
    fn what_nobody_defined_is_refused() {
        for bad in ["", "{nope}\\n", "{rand:0}", "{rand:x}", "{rand:99999}", "\\q", "\\x4", "\\"] {
            assert!(Message::parse(bad).is_err(), "{bad}");
        }
    }
}
