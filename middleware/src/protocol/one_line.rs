//! Text that stays on its line.

use bytes::{BufMut, BytesMut};
use memchr::memchr2;

/// Bytes that end a line early: of protocols whose lines end in `\n`.
pub(crate) const LF: (u8, u8) = (b'\n', b'\n');

/// Bytes that end a line early: of protocols whose lines end in `\r\n`.
pub(crate) const CR_LF: (u8, u8) = (b'\r', b'\n');

/// Appends `text`. Bytes `a` and `b` in it would end its line early and become spaces, so that text from one peer
/// cannot make two replies to another.
pub(crate) fn put_text(text: &[u8], (a, b): (u8, u8), out: &mut BytesMut) {
    if memchr2(a, b, text).is_none() {
        out.put_slice(text);
    } else {
        out.extend(text.iter().map(|&byte| if byte == a || byte == b { b' ' } else { byte }));
    }
}
