//! The message that connections send: one or more lines, fixed or with variable parts.
//!
//! A fixed message such as `ping\n` is sent from one shared block. `set {conn} {seq}\n` contains the
//! connection's and the line's number, so that a lost, repeated or swapped reply is noticed. Such lines
//! are rendered when they are sent, and again for comparison when their replies arrive.

mod fixed;
mod rendered;
mod stream;

pub(crate) use stream::{Position, Stream};

use crate::error::LoadError;

/// A parsed message: lines of fixed text and variable parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    lines: Vec<Vec<Part>>,
    complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    /// The connection's number, from 0.
    Connection,
    /// The line's number on its connection, from 0.
    Sequence,
    /// This many letters and digits, different for every line.
    Random(u16),
}

/// The most digits of a connection's number, and of a line's.
const CONNECTION_DIGITS_MAX: usize = 10;
const SEQUENCE_DIGITS_MAX: usize = 20;
/// The largest N of `{rand:N}`.
const RANDOM_MAX: u16 = 4096;

impl Message {
    /// Parses a message with the escapes `\n \r \t \0 \\ \xNN` and the parts `{conn}` (the connection's
    /// number), `{seq}` (the line's number on its connection) and `{rand:N}` (N letters and digits).
    /// tcpkali's `\{connection.uid}` is read as `{conn}`. Braces around anything but a lower-case word
    /// are literal, so JSON needs no escapes.
    ///
    /// # Errors
    /// When the message is empty, or has an unknown escape or part.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let mut parser = Parser { lines: vec![Vec::new()], rest: text };
        while !parser.rest.is_empty() {
            parser.step()?;
        }
        let mut lines = parser.lines;
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

    /// Whether the message ends in a newline.
    pub fn ends_in_newline(&self) -> bool {
        self.complete
    }

    /// Whether the message has no variable parts.
    pub fn is_fixed(&self) -> bool {
        self.lines.iter().flatten().all(|part| matches!(part, Part::Text(_)))
    }

    /// Whether every line has a part that changes from line to line, so that a lost or repeated line is
    /// noticed by its content.
    pub fn numbers_its_lines(&self) -> bool {
        let numbered = |p: &Part| matches!(p, Part::Sequence | Part::Random(_));
        self.lines.iter().all(|line| line.iter().any(numbered))
    }

    /// Length in bytes of the first message of the first connection.
    pub fn first_len(&self) -> usize {
        self.first(0).len()
    }

    /// The first message of a connection.
    pub(crate) fn first(&self, connection: u32) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            rendered::render(line, connection.into(), i as u64, 0, &mut out);
        }
        out
    }

    /// The most bytes that a line has on any connection.
    pub(crate) fn longest_line(&self) -> usize {
        let len = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Connection => CONNECTION_DIGITS_MAX,
            Part::Sequence => SEQUENCE_DIGITS_MAX,
            Part::Random(len) => usize::from(*len),
        };
        self.lines.iter().map(|line| line.iter().map(len).sum()).max().unwrap_or(0)
    }

    /// Mean length of a line in bytes.
    pub(crate) fn mean_line(&self) -> u64 {
        (self.first_len() / self.lines.len()) as u64
    }

    /// Whether the message is `ping\n`, the line that servers send as heartbeat.
    pub(crate) fn is_heartbeat(&self) -> bool {
        self.lines == [vec![Part::Text(b"ping\n".to_vec())]]
    }
}

struct Parser<'a> {
    lines: Vec<Vec<Part>>,
    rest: &'a str,
}

impl Parser<'_> {
    fn step(&mut self) -> Result<(), LoadError> {
        if let Some(rest) = self.rest.strip_prefix("\\{connection.uid}") {
            self.rest = rest;
            self.part(Part::Connection);
            return Ok(());
        }
        if let Some(after) = self.rest.strip_prefix('\\') {
            return self.escape(after);
        }
        if let Some((name, rest)) = braces(self.rest) {
            let part = named(name)?;
            self.rest = rest;
            self.part(part);
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
            Some(Part::Text(text)) => text.push(byte),
            _ => line.push(Part::Text(vec![byte])),
        }
        if byte == b'\n' {
            self.lines.push(Vec::new());
        }
    }

    fn part(&mut self, part: Part) {
        if let Some(line) = self.lines.last_mut() {
            line.push(part);
        }
    }
}

/// Splits `{word}` or `{word:…}` at the start of `text` into what is inside and what follows.
fn braces(text: &str) -> Option<(&str, &str)> {
    let (inside, rest) = text.strip_prefix('{')?.split_once('}')?;
    let word = inside.split(':').next()?;
    let lower = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    lower.then_some((inside, rest))
}

fn named(name: &str) -> Result<Part, LoadError> {
    match name.split_once(':') {
        None if name == "conn" => Ok(Part::Connection),
        None if name == "seq" => Ok(Part::Sequence),
        Some(("rand", n)) => match n.parse() {
            Ok(n) if (1..=RANDOM_MAX).contains(&n) => Ok(Part::Random(n)),
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
    fn braces_of_json_are_literal() {
        let message = Message::parse("{\"id\":{seq},\"x\":{}}\\n").unwrap();
        assert!(message.numbers_its_lines());
        assert_eq!(message.first_len(), "{\"id\":0,\"x\":{}}\n".len());
    }

    #[test]
    fn the_longest_line_has_the_largest_numbers() {
        let message = Message::parse("a\\nset {conn} {seq} {rand:7}\\n").unwrap();
        let mut line = Vec::new();
        rendered::render(&message.lines[1], u32::MAX.into(), u64::MAX, 1, &mut line);
        assert_eq!(message.longest_line(), line.len());
    }

    #[test]
    fn the_spelling_of_tcpkali_is_understood() {
        let message = Message::parse("u\\{connection.uid}\\n").unwrap();
        assert_eq!(message.lines[0][1], Part::Connection);
    }

    #[test]
    fn unknown_escapes_and_parts_are_refused() {
        for bad in ["", "{nope}\\n", "{rand:0}", "{rand:x}", "{rand:99999}", "\\q", "\\x4", "\\"] {
            assert!(Message::parse(bad).is_err(), "{bad}");
        }
    }
}
