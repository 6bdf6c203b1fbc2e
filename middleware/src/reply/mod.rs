//! What a server says to a peer: replies of commands, and the arguments that commands come with.

mod args;
mod error;
mod from_args;
mod into_reply;
mod message;
mod value;
mod words;

use std::{
    fmt,
    io::{Cursor, Write},
    marker::PhantomData,
};

use bytes::{BufMut, BytesMut};

pub(crate) use self::args::{Syntax, shown_verb};
pub use self::{
    args::{Args, ArgsIter, NextArg},
    error::ReplyError,
    from_args::{ArgError, FromArg, FromArgs, Rest},
    into_reply::{Close, IntoReply},
    message::{Message, Raw},
    value::Value,
};
use crate::protocol::{Lf, Protocol};

/// Bytes of the longest number, `i128::MIN`.
const DIGITS_MAX: usize = 40;

/// A protocol in which replies are said.
///
/// [`text`](Self::text) is what a protocol of your own must have; the others say more in protocols that have
/// words for it. All append to `out`, and none can fail: what cannot be said as it is, such as a newline in a
/// protocol of lines, is written as something that can.
///
/// ```
/// use bytes::BytesMut;
/// use towline_middleware::{protocol::{CrLf, Lf}, reply::{Replies, ReplyError}};
///
/// let mut out = BytesMut::new();
/// Lf::text(b"hello", &mut out);
/// Lf::integer(-7, &mut out);
/// Lf::error(&ReplyError::new("no such key"), &mut out);
/// CrLf::error(&ReplyError::with_code(550, "no such mailbox"), &mut out);
/// assert_eq!(&out[..], b"hello\n-7\nERR no such key\n550 no such mailbox\r\n");
/// ```
pub trait Replies: Protocol {
    /// Appends `text` as one reply: a line, a bulk string, a frame.
    fn text(text: &[u8], out: &mut BytesMut);

    /// Appends a number. Default: its decimal digits as [`text`](Self::text).
    fn integer(number: i128, out: &mut BytesMut) {
        // On the stack: replies such as counts are frequent.
        let mut digits = Cursor::new([0; DIGITS_MAX]);
        let _ = write!(digits, "{number}");
        let len = digits.position() as usize;
        Self::text(&digits.get_ref()[..len], out);
    }

    /// Appends what stands for no value. Default: an empty [`text`](Self::text).
    fn null(out: &mut BytesMut) {
        Self::text(b"", out);
    }

    /// Appends the head of an array of `len` replies. Default: nothing, so that an array is its replies.
    fn array(len: usize, out: &mut BytesMut) {
        let _ = (len, out);
    }

    /// Appends a word such as `OK`. Default: as [`text`](Self::text).
    fn status(word: &str, out: &mut BytesMut) {
        Self::text(word.as_bytes(), out);
    }

    /// Appends a failure. Default: `ERR text` as [`text`](Self::text).
    fn error(error: &ReplyError, out: &mut BytesMut) {
        Self::text(error.to_string().as_bytes(), out);
    }
}

/// A protocol whose frames are commands: a verb and arguments. A [`Router`](crate::router::Router) can be of any.
///
/// ```
/// use towline_middleware::{protocol::Lf, reply::Commands};
///
/// let args = Lf::args(b"SET key value");
/// assert_eq!(args.verb(), b"SET");
/// assert!(args.iter().eq([b"key".as_slice(), b"value"]));
/// ```
pub trait Commands: Replies {
    /// The verb and the arguments of a frame.
    ///
    /// An implementation must write `Self::Frame<'a>`, too: with the type itself the lifetime is of another kind
    /// (E0195).
    fn args<'a>(frame: Self::Frame<'a>) -> Args<'a>;
}

/// Writes replies of the protocol `P`.
///
/// ```
/// use bytes::BytesMut;
/// use towline_middleware::{protocol::Lf, reply::Out};
///
/// let mut bytes = BytesMut::new();
/// let mut out = Out::<Lf>::new(&mut bytes);
/// out.text("a reply");
/// out.raw(b"bytes as they are\n");
/// out.write(["two", "replies"]);
/// assert_eq!(&bytes[..], b"a reply\nbytes as they are\ntwo\nreplies\n");
/// ```
pub struct Out<'a, P: Replies = Lf> {
    bytes: &'a mut BytesMut,
    /// Whether a [`ReplyError`] was written since the last `take_failed`.
    failed: bool,
    protocol: PhantomData<fn() -> P>,
}

impl<P: Replies> fmt::Debug for Out<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("bytes", &self.bytes).finish()
    }
}

impl<'a, P: Replies> Out<'a, P> {
    /// Appends to `bytes`.
    pub fn new(bytes: &'a mut BytesMut) -> Self {
        Self { bytes, failed: false, protocol: PhantomData }
    }

    /// Writes `text` as one reply: a line, a bulk string, a frame.
    pub fn text(&mut self, text: impl AsRef<[u8]>) {
        P::text(text.as_ref(), self.bytes);
    }

    /// Writes `bytes` as they are, terminator included.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    /// Writes a message, as many replies as it has.
    pub fn write(&mut self, message: impl Message) {
        message.write_to(self);
    }

    /// Writes a failure.
    fn error(&mut self, error: &ReplyError) {
        self.failed = true;
        P::error(error, self.bytes);
    }

    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        self.bytes
    }

    /// Whether a [`ReplyError`] was written since [`take_failed`](Self::take_failed) was called.
    #[inline]
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether a [`ReplyError`] was written since the last call.
    #[inline]
    pub(crate) const fn take_failed(&mut self) -> bool {
        std::mem::replace(&mut self.failed, false)
    }
}
