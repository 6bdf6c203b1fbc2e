//! A batch of lines: the unit of service.

use std::{fmt, iter};

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr_iter};

use crate::Line;

/// A batch up to this size has memory of its own: one small allocation. A slice of the read block would
/// keep the whole block while the batch waits for a permit or in its service.
pub(crate) const SMALL_BYTES: usize = 4 * crate::KIB;

/// One or more complete lines, terminators included, contiguous in one [`Bytes`].
///
/// Cheap to clone and to split: a batch of up to 4 KiB is copied, a larger one shares the memory of the
/// read. Iterating costs about 4 ns a line; [`count`](Self::count) was taken with SIMD when the batch was
/// cut and costs nothing.
///
/// A batch of more than 4 KiB, or a [`Line`] of it, keeps the whole 64 KiB read block alive.
///
/// ```
/// use towline_middleware::Lines;
/// let lines = Lines::new("one\ntwo\n").unwrap();
/// assert_eq!(lines.count(), 2);
/// assert!(lines.iter().eq([b"one", b"two"]));
/// assert_eq!(Lines::from_iter(["one", "two"]), lines);
/// ```
#[derive(Clone, Default)]
pub struct Lines {
    memory: Memory,
    count: u32,
}

/// Where the bytes of a batch are.
#[derive(Clone)]
enum Memory {
    /// Not shared, so that they can become an output buffer as they are. The two conversions that
    /// [`Bytes`] would take cost as much as counting the line.
    Own(BytesMut),
    Shared(Bytes),
}

impl Lines {
    /// A batch from bytes in which every line, the last included, ends in `\n`.
    ///
    /// Returns `None` if the bytes end in an unterminated line. *Costs*: one SIMD pass.
    pub fn new(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        match bytes.last() {
            None | Some(b'\n') => {
                let count = count(&bytes);
                Some(Self { memory: Memory::Shared(bytes), count })
            }
            Some(_) => None,
        }
    }

    /// A batch from bytes that are known to end in `\n`.
    pub(crate) fn from_terminated(bytes: BytesMut) -> Self {
        debug_assert!(bytes.last().is_none_or(|&b| b == b'\n'));
        let count = count(&bytes);
        Self::counted(bytes, count)
    }

    /// A batch from bytes that are known to be `lines` whole lines.
    #[inline]
    pub(crate) fn counted(bytes: BytesMut, lines: u32) -> Self {
        debug_assert_eq!(count(&bytes), lines);
        let memory = if bytes.len() <= SMALL_BYTES {
            Memory::Own(bytes)
        } else {
            Memory::Shared(bytes.freeze())
        };
        Self { memory, count: lines }
    }

    /// A batch of `line`, terminator included, `count` times over.
    pub(crate) fn repeat(line: &'static [u8], count: u32) -> Self {
        debug_assert!(line.ends_with(b"\n"));
        let bytes = match count {
            1 => Bytes::from_static(line),
            _ => Bytes::from(line.repeat(count as usize)),
        };
        Self { memory: Memory::Shared(bytes), count }
    }

    /// The number of lines.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All lines, terminators included.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Shared(bytes) => bytes,
        }
    }

    /// All lines, terminators included, without copying.
    pub fn into_bytes(self) -> Bytes {
        match self.memory {
            Memory::Own(bytes) => bytes.freeze(),
            Memory::Shared(bytes) => bytes,
        }
    }

    /// Converts into a writable buffer, or returns the shared `Bytes` if another handle exists.
    #[inline]
    pub(crate) fn try_into_mut(self) -> Result<BytesMut, Bytes> {
        match self.memory {
            Memory::Own(bytes) => Ok(bytes),
            Memory::Shared(bytes) => bytes.try_into_mut(),
        }
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

    /// The lines without their terminators, as owned slices of the shared memory (about 20 ns each).
    pub fn into_lines(self) -> impl Iterator<Item = Line> {
        let mut bytes = self.into_bytes();
        iter::from_fn(move || {
            let end = memchr(b'\n', &bytes)?;
            let mut line = bytes.split_to(end + 1);
            line.truncate(end);
            Some(Line::from(line))
        })
    }

    /// Splits off and returns the first `count` lines, or all if there are no more.
    ///
    /// *Costs*: a scan of these lines.
    #[must_use]
    pub fn split_to(&mut self, count: usize) -> Self {
        if count >= self.count() {
            return std::mem::take(self);
        }
        let end = match count.checked_sub(1) {
            None => 0,
            Some(last) => memchr_iter(b'\n', self.as_bytes()).nth(last).map_or(0, |at| at + 1),
        };
        let memory = match &mut self.memory {
            Memory::Own(bytes) => Memory::Own(bytes.split_to(end)),
            Memory::Shared(bytes) => Memory::Shared(bytes.split_to(end)),
        };
        self.count -= count as u32;
        Self { memory, count: count as u32 }
    }
}

fn count(bytes: &[u8]) -> u32 {
    // A batch is bounded by the read block or by one line, both far below 4 GiB.
    memchr_iter(b'\n', bytes).count() as u32
}

impl Default for Memory {
    fn default() -> Self {
        Self::Own(BytesMut::new())
    }
}

/// Lines are equal if their bytes are.
impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Lines {}

/// Each item becomes a line; items must not contain `\n` themselves.
impl<T: AsRef<[u8]>> FromIterator<T> for Lines {
    fn from_iter<I: IntoIterator<Item = T>>(lines: I) -> Self {
        let mut bytes = BytesMut::new();
        for line in lines {
            bytes.extend_from_slice(line.as_ref());
            bytes.extend_from_slice(b"\n");
        }
        Self::from_terminated(bytes)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({} in \"{}\")", self.count, self.as_bytes().escape_ascii())
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
        let lines = Lines::from_iter(["x", "", "yz"]);
        let owned: Vec<_> = lines.clone().into_lines().collect();
        assert!(owned.iter().map(|line| &line[..]).eq(lines.iter()));
    }
}
