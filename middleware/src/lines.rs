//! What a batch has that is one of lines.

use std::iter;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter};

use crate::{Batch, Line, protocol::Lf, swar};

/// One or more complete lines, terminators included, contiguous in one [`Bytes`](bytes::Bytes): the batch of
/// the default protocol.
///
/// Iterating costs about 4 ns a line; the lines were counted with SIMD when the batch was cut.
///
/// ```
/// use towline_middleware::Lines;
/// let lines = Lines::new("one\ntwo\n").unwrap();
/// assert_eq!(lines.count(), 2);
/// assert!(lines.iter().eq([b"one", b"two"]));
/// assert_eq!(Lines::from_iter(["one", "two"]), lines);
/// ```
pub type Lines = Batch<Lf>;

/// Batches of lines.
impl Batch<Lf> {
    /// A batch from bytes that are known to end in `\n`.
    pub(crate) fn from_terminated(bytes: BytesMut) -> Self {
        debug_assert!(bytes.last().is_none_or(|&b| b == b'\n'));
        // A batch is bounded by the read block or by one line, both far below 4 GiB.
        let count = memchr_iter(b'\n', &bytes).count() as u32;
        Self::counted(bytes, count)
    }

    /// The lines without their terminators, as slices.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        let bytes = self.as_bytes();
        memchr_iter(b'\n', bytes).map(move |end| {
            let line = &bytes[start..end];
            start = end + 1;
            line
        })
    }

    /// The lines without their terminators, as owned copies of short ones and slices of the shared memory
    /// (about 20 ns a slice).
    pub fn into_lines(self) -> impl Iterator<Item = Line> {
        let mut bytes = self.into_bytes();
        iter::from_fn(move || next_line(&mut bytes))
    }
}

/// Takes the first line off `bytes`, without its terminator.
#[inline]
pub(crate) fn next_line(bytes: &mut Bytes) -> Option<Line> {
    let first = swar::load(bytes);
    // Zeros behind a shorter slice are no newline.
    if let Some(end) = swar::position(first, b'\n') {
        bytes.advance(end + 1);
        return Some(Line::short(first, end));
    }
    let end = memchr(b'\n', bytes)?;
    let line = bytes.split_to(end);
    bytes.advance(1);
    Some(Line::from(line))
}

/// Each item becomes a line; items must not contain `\n` themselves.
impl<T: AsRef<[u8]>> FromIterator<T> for Batch<Lf> {
    fn from_iter<I: IntoIterator<Item = T>>(lines: I) -> Self {
        let mut bytes = BytesMut::new();
        for line in lines {
            bytes.extend_from_slice(line.as_ref());
            bytes.extend_from_slice(b"\n");
        }
        Self::from_terminated(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_knows_its_lines_and_splits_between_them() {
        let mut lines = Lines::new("a\n\nccc\n").expect("terminated");
        assert_eq!(lines.count(), 3);
        assert_eq!(lines.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"ccc"]);
        let head = lines.split_to(2);
        assert_eq!((head.as_bytes(), head.count()), (&b"a\n\n"[..], 2));
        assert_eq!((lines.as_bytes(), lines.count()), (&b"ccc\n"[..], 1));
        assert_eq!(lines.split_to(9).count(), 1);
        assert!(lines.is_empty());
    }

    #[test]
    fn an_unterminated_rest_is_not_a_batch() {
        assert_eq!(Lines::new("a\nb"), None);
        assert_eq!(Lines::new(""), Some(Lines::default()));
    }

    #[test]
    fn owned_lines_are_the_borrowed_ones() {
        let all = "a line that is longer than a number holds";
        // Of each length around that of a copy, alone and in front of others.
        let lines = Lines::from_iter((0..all.len()).flat_map(|len| [&all[..len], "", "x"]));
        let owned: Vec<_> = lines.clone().into_lines().collect();
        assert!(owned.iter().map(|line| &line[..]).eq(lines.iter()));
        for (line, borrowed) in owned.iter().zip(lines.iter()) {
            assert_eq!(*line, Line::from(Bytes::copy_from_slice(borrowed)));
            assert_eq!(line.clone().into_bytes(), borrowed);
        }
    }
}
