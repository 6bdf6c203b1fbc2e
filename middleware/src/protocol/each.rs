//! What protocols share that look at one frame after another.

use bytes::{BufMut, BytesMut};

use super::{
    Delimited, FrameError, FrameLimits,
    one_line::{CR_LF, put_text},
};

/// What is known of the first frame of some bytes, for [`delimit_each`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// It is whole: its length in bytes, terminator included, at least one.
    Whole(usize),
    /// It is not whole.
    Unfinished {
        /// Bytes at the beginning that need not be looked at again.
        scanned: usize,
        /// Bytes that are missing at least.
        wanted: usize,
    },
}

/// [`Protocol::delimit`](super::Protocol::delimit) of a protocol that looks at one frame after another: finds whole
/// frames by `first`, which is given the bytes from the start of a frame, at least one, and how many of them were
/// scanned before.
///
/// An error behind whole frames is left for the next call. *Costs*: one call of `first` a frame.
///
/// ```
/// use towline_middleware::protocol::{FrameLimits, First, delimit_each};
///
/// // Frames of one byte of length and as many bytes.
/// let found = delimit_each(b"\x03one\x03two\x05thr", &FrameLimits::new(64), |bytes, _scanned| {
///     let whole = 1 + usize::from(bytes[0]);
///     Ok(if whole <= bytes.len() {
///         First::Whole(whole)
///     } else {
///         First::Unfinished { scanned: 0, wanted: whole - bytes.len() }
///     })
/// })?;
/// assert_eq!((found.whole, found.frames, found.wanted), (8, 2, 2));
/// # Ok::<_, towline_middleware::protocol::FrameError>(())
/// ```
///
/// # Errors
/// That of `first` for the first frame.
#[inline]
pub fn delimit_each(
    bytes: &[u8],
    limits: &FrameLimits,
    first: impl Fn(&[u8], usize) -> Result<First, FrameError>,
) -> Result<Delimited, FrameError> {
    let mut found = Delimited::default();
    let mut scanned = limits.scanned;
    while found.frames < limits.frames && found.whole < bytes.len() {
        match first(&bytes[found.whole..], scanned) {
            Ok(First::Whole(len)) => {
                found.whole += len;
                found.frames += 1;
                scanned = 0;
            }
            Ok(First::Unfinished { scanned, wanted }) => {
                (found.scanned, found.wanted) = (scanned, wanted);
                break;
            }
            Err(error) if found.frames == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(found)
}

/// Appends one line of `texts` that ends in `\r\n`, and in nothing else before that.
pub(super) fn put_line(texts: &[&str], out: &mut BytesMut) {
    texts.iter().for_each(|text| put_text(text.as_bytes(), CR_LF, out));
    out.put_slice(b"\r\n");
}
