//! Newlines, found in time proportional to the lines that they end.

use memchr::{memchr, memchr_iter, memrchr};

/// Up to this many lines a search for one newline after another examines fewest bytes.
const WALKED_LINES_MAX: usize = 64;

/// Bytes in which newlines are counted before the count is compared with the limit. At most as many as
/// the batch has lines, so a batch costs at most three times its bytes; more gain nothing.
const PIECE_BYTES_MAX: usize = 4 * crate::KIB;

/// Complete lines at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where they end.
    pub(super) end: usize,
    pub(super) lines: usize,
    /// All complete lines there are: no newline follows.
    pub(super) all: bool,
}

/// Finds the first `lines_max` lines, at least one, or all complete lines if there are fewer.
///
/// *Costs*: the limit having been met, what follows the batch is not examined, beyond one piece: bytes
/// that hold many batches would be examined once for each.
pub(super) fn first_lines(bytes: &[u8], lines_max: usize) -> Option<Cut> {
    let (mut start, mut lines) = (0, 0);
    if lines_max < WALKED_LINES_MAX {
        while let Some(at) = find(&bytes[start..]) {
            start += at + 1;
            lines += 1;
            if lines == lines_max {
                return Some(Cut { end: start, lines, all: false });
            }
        }
        return (lines > 0).then_some(Cut { end: start, lines, all: true });
    }
    // A buffer of fewer bytes than lines allowed cannot meet the limit, and is counted in one pass.
    let piece_bytes =
        if bytes.len() < lines_max { lines_max } else { lines_max.min(PIECE_BYTES_MAX) };
    for piece in bytes.chunks(piece_bytes) {
        let count = count(piece);
        if lines + count >= lines_max {
            let end = start + end_of_line(piece, lines_max - lines);
            return Some(Cut { end, lines: lines_max, all: false });
        }
        lines += count;
        start += piece.len();
    }
    if lines == 0 {
        return None;
    }
    find_last(bytes).map(|last| Cut { end: last + 1, lines, all: true })
}

/// Where line `number` ends, 1 being the first: halves the bytes, because that is one count a half and not
/// one search a line.
fn end_of_line(mut bytes: &[u8], mut number: usize) -> usize {
    let mut start = 0;
    while bytes.len() > WALKED_LINES_MAX {
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        let lines = count(head);
        if lines >= number {
            bytes = head;
        } else {
            number -= lines;
            start += head.len();
            bytes = tail;
        }
    }
    let last = memchr_iter(b'\n', bytes).nth(number - 1);
    start + last.map_or(bytes.len(), |at| at + 1)
}

/// The number of newlines.
#[inline]
pub(super) fn count(bytes: &[u8]) -> usize {
    examined(bytes.len());
    memchr_iter(b'\n', bytes).count()
}

/// The last newline.
#[inline]
pub(super) fn find_last(bytes: &[u8]) -> Option<usize> {
    let found = memrchr(b'\n', bytes);
    examined(bytes.len() - found.unwrap_or(0));
    found
}

fn find(bytes: &[u8]) -> Option<usize> {
    let found = memchr(b'\n', bytes);
    examined(found.map_or(bytes.len(), |at| at + 1));
    found
}

/// Adds to the bytes that were examined on this thread, which tests compare with those received.
#[inline]
fn examined(_bytes: usize) {
    #[cfg(test)]
    tests::EXAMINED.set(tests::EXAMINED.get() + _bytes);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::BytesMut;
    use proptest::prelude::*;
    use tokio_util::codec::Decoder;

    use super::*;
    use crate::LinesBatchCodec;

    thread_local! {
        pub(super) static EXAMINED: Cell<usize> = const { Cell::new(0) };
    }

    const BLOCK_BYTES: usize = 64 * 1024;

    /// Bytes examined until all batches of `received` are cut.
    fn examined_to_cut(received: &[u8], limit_bytes: usize, lines_max: u32) -> usize {
        let mut codec = LinesBatchCodec::new(limit_bytes).lines_max(lines_max);
        let mut buffer = BytesMut::from(received);
        let before = EXAMINED.get();
        while let Ok(Some(batch)) = codec.decode(&mut buffer) {
            assert!(batch.count() <= lines_max as usize);
        }
        EXAMINED.get() - before
    }

    /// Each batch counted all newlines that were left, and looked for lines too long in all of it: with a
    /// line a batch, 64 KiB of newlines were 2 GiB to examine, and 79 ms. A client chooses its lines, so
    /// the cost of a byte must not depend on them, nor on the limits.
    #[test]
    fn a_byte_is_examined_a_few_times_whatever_the_lines_and_the_limits() {
        let block_of = |line: &[u8]| line.repeat(BLOCK_BYTES / line.len());
        let mut unfinished = block_of(b"\n");
        unfinished[BLOCK_BYTES / 2..].fill(b'x');
        let blocks = [block_of(b"\n"), block_of(b"pipe\n"), block_of(&[b'x'; 64]), unfinished];
        for block in &blocks {
            for lines_max in [1, 2, 16, 63, 64, 65, 1000, 4096, 16 * 1024, u32::MAX] {
                for limit_bytes in [0, 4, 64, 1000, BLOCK_BYTES] {
                    let bytes = examined_to_cut(block, limit_bytes, lines_max);
                    assert!(
                        bytes <= 5 * block.len(),
                        "{bytes} bytes with {lines_max} lines, {limit_bytes} bytes a line"
                    );
                }
            }
        }
    }

    /// The last newline of a full batch was found by walking over all before it, one call a line: with
    /// lines of 5 bytes that was a third of all work. Counting pieces takes a call a piece.
    #[test]
    fn behind_a_full_batch_at_most_a_piece_is_examined() {
        let lines = b"pipe\n".repeat(20_000);
        let before = EXAMINED.get();
        let cut = first_lines(&lines, 16 * 1024);
        assert_eq!(cut, Some(Cut { end: 5 * 16 * 1024, lines: 16 * 1024, all: false }));
        assert!(EXAMINED.get() - before <= 5 * 16 * 1024 + 2 * PIECE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn the_cut_is_that_of_a_search_byte_by_byte(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'x')], 0..700),
            lines_max in 1_usize..300,
        ) {
            let ends: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
            let cut = first_lines(&bytes, lines_max);
            let lines = ends.len().min(lines_max);
            let expected = lines.checked_sub(1).map(|last| (ends[last] + 1, lines));
            prop_assert_eq!(cut.map(|cut| (cut.end, cut.lines)), expected);
            if let Some(cut) = cut {
                prop_assert!(!cut.all || cut.lines == ends.len());
            }
        }
    }
}
