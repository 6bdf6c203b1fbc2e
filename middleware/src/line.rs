//! One line.

use std::{fmt, ops::Deref};

use bytes::Bytes;

/// One line without its terminator, as a cheap slice of the read it came in.
///
/// The bytes are opaque: any value but `\n`, a trailing `\r` included. Dereferences to `[u8]`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Line(Bytes);

impl Line {
    /// The line's bytes, sharing memory with the batch it came from: keep a copy, not a clone, if
    /// it is to be kept long.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The line as text, when it is UTF-8.
    ///
    /// # Errors
    /// When it isn't.
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
