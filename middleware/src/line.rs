//! One line.

use std::{fmt, ops::Deref};

use bytes::Bytes;

/// One line without its terminator, as a cheap slice of the read in which it came.
///
/// The bytes are opaque: any value but `\n`, a trailing `\r` included. Dereferences to `[u8]`.
///
/// ```
/// use towline_middleware::{Line, Lines};
/// let line: Line = Lines::from_iter(["GET key"]).into_lines().next().unwrap();
/// assert_eq!(line.to_str(), Ok("GET key"));
/// assert!(line.starts_with(b"GET "));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Line(Bytes);

impl Line {
    /// The line's bytes. They share memory with the batch, and that may be a read block of 64 KiB: copy
    /// what is kept for long.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The line as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn to_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.0)
    }
}

impl Deref for Line {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Line {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", self.0)
    }
}
