//! One line.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use bytes::Bytes;

use crate::swar;

/// One line without its terminator: of up to 15 bytes as a copy, and else as a cheap slice of the read in which
/// it came.
///
/// The bytes are opaque: any value but `\n`, a trailing `\r` included. Dereferences to `[u8]`.
///
/// ```
/// use towline_middleware::{Line, Lines};
/// let line: Line = Lines::from_iter(["GET key"]).into_lines().next().unwrap();
/// assert_eq!(line.to_str(), Ok("GET key"));
/// assert!(line.starts_with(b"GET "));
/// ```
#[derive(Clone)]
pub struct Line(Content);

/// A copy of a few bytes costs less than the two atomic operations of a slice.
#[derive(Clone)]
enum Content {
    /// `bytes[..len]`. What is behind is not the line's.
    Short {
        len: u8,
        bytes: [u8; swar::BYTES],
    },
    Slice(Bytes),
}

impl Line {
    /// The first `len` bytes of `bytes`; `len` is at most [`swar::BYTES`].
    #[inline]
    pub(crate) const fn short(bytes: u128, len: usize) -> Self {
        Self(Content::Short { len: len as u8, bytes: bytes.to_le_bytes() })
    }

    /// The line's bytes: of up to 15 bytes in memory of their own, which is allocated here. Longer ones share
    /// memory with the batch, and that may be a read block of 64 KiB: copy what is kept for long.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Content::Short { .. } => Bytes::copy_from_slice(&self),
            Content::Slice(bytes) => bytes,
        }
    }

    /// The line as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn to_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(self)
    }
}

impl Deref for Line {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Short { len, bytes } => &bytes[..usize::from(*len)],
            Content::Slice(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Line {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::short(0, 0)
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Line {}

impl Hash for Line {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl From<Bytes> for Line {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Slice(bytes))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line(b\"{}\")", self.escape_ascii())
    }
}
