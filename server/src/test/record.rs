//! What a client and the server said to each other, for the message of a test that fails.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    time::Duration,
};

use tokio::time::Instant;

/// Bytes of both sides that a record keeps; what is older goes.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Entries that a record keeps.
const KEPT_ENTRIES_MAX: usize = 256;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
    /// What happened, in words.
    Event,
}

/// A conversation, of bounded length.
#[derive(Debug)]
pub(super) struct Record {
    begun: Instant,
    entries: VecDeque<(Duration, Side, Vec<u8>)>,
    kept_bytes: usize,
    left_out: u64,
}

impl Record {
    pub(super) fn new(begun: Instant) -> Self {
        Self { begun, entries: VecDeque::new(), kept_bytes: 0, left_out: 0 }
    }

    /// Appends an entry, or lengthens the last one if the same side says more at the same time.
    pub(super) fn add(&mut self, side: Side, bytes: &[u8]) {
        let at = self.begun.elapsed();
        let kept = &bytes[bytes.len().saturating_sub(KEPT_BYTES_MAX)..];
        self.kept_bytes += kept.len();
        match self.entries.back_mut() {
            Some((then, last, text)) if *last == side && *then == at && side != Side::Event => {
                text.extend_from_slice(kept);
            }
            _ => self.entries.push_back((at, side, kept.to_vec())),
        }
        while self.kept_bytes > KEPT_BYTES_MAX && self.entries.len() > 1
            || self.entries.len() > KEPT_ENTRIES_MAX
        {
            let oldest = self.entries.pop_front();
            self.kept_bytes -= oldest.map_or(0, |(_, _, text)| text.len());
            self.left_out += 1;
        }
        if let (1, Some((_, _, text))) = (self.entries.len(), self.entries.front_mut()) {
            let old = text.len().saturating_sub(KEPT_BYTES_MAX);
            text.drain(..old);
            self.kept_bytes = text.len();
        }
    }

    /// Appends what happened.
    pub(super) fn event(&mut self, text: &str) {
        self.add(Side::Event, text.as_bytes());
    }
}

/// One line of text for each line said, behind its time.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_out > 0 {
            writeln!(f, "  … {} entries before", self.left_out)?;
        }
        for (at, side, bytes) in &self.entries {
            let mark = match side {
                Side::Client => "C:",
                Side::Server => "S:",
                Side::Event => "--",
            };
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                writeln!(f, "{:>10.3} {mark} {}", at.as_secs_f64(), Shown(line))?;
            }
        }
        Ok(())
    }
}

/// Bytes as text, of bounded length: UTF-8 as it is, everything else escaped.
pub(super) struct Shown<'a>(pub(super) &'a [u8]);

/// Longest part of one line that is shown.
const SHOWN_BYTES_MAX: usize = 400;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES_MAX)];
        for part in shown.utf8_chunks() {
            for char in part.valid().chars() {
                match char {
                    '"' | '\'' => f.write_char(char)?,
                    _ => char.escape_debug().try_for_each(|char| f.write_char(char))?,
                }
            }
            write!(f, "{}", part.invalid().escape_ascii())?;
        }
        if shown.len() < self.0.len() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_record_shows_lines_with_their_times_and_escapes_what_is_no_text() {
        let mut record = Record::new(Instant::now());
        record.add(Side::Client, b"PING \xff\r\n");
        tokio::time::advance(Duration::from_millis(1500)).await;
        record.add(Side::Server, "+grüß\n\"di".as_bytes());
        record.add(Side::Server, b"ch\"\n");
        record.event("the server closed");
        assert_eq!(
            record.to_string(),
            "     0.000 C: PING \\xff\\r\n     1.500 S: +grüß\n     1.500 S: \"dich\"\n     \
             1.500 -- the server closed\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_record_loses_its_beginning_and_says_so() {
        let mut record = Record::new(Instant::now());
        for number in 0..1000 {
            record.add(Side::Client, format!("{number}\n").as_bytes());
            record.add(Side::Server, b"ok\n");
        }
        let shown = record.to_string();
        assert!(shown.starts_with("  … 1744 entries before\n"), "{shown}");
        assert!(shown.ends_with("C: 999\n     0.000 S: ok\n"), "{shown}");
        record.add(Side::Server, &[b'x'; 10 * KEPT_BYTES_MAX]);
        record.add(Side::Server, &[b'y'; KEPT_BYTES_MAX]);
        assert!(record.kept_bytes <= KEPT_BYTES_MAX);
        assert!(record.to_string().contains("… (16384 bytes)"), "{record}");
    }
}
