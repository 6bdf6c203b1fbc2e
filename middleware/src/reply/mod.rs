//! What a server says to a peer: replies of commands, and the arguments that commands come with.

mod args;
mod error;
mod from_args;
mod into_reply;
mod message;
mod value;
mod words;

use std::{fmt, marker::PhantomData};

use bytes::{BufMut, BytesMut};

pub(crate) use self::args::Syntax;
pub use self::{
    args::{Args, ArgsIter, NextArg},
    error::ReplyError,
    from_args::{ArgError, FromArg, FromArgs, Rest},
    into_reply::{Close, IntoReply},
    message::{Message, Raw},
    value::Value,
};
use crate::protocol::{Lf, Protocol};

/// A protocol in which replies are said. [`text`](Self::text) is what a protocol of one's own must have.
pub trait Replies: Protocol {
    /// Appends `text` as one reply: a line, a bulk string, a frame.
    fn text(text: &[u8], out: &mut BytesMut);

    /// Appends a number. Default: its decimal digits as [`text`](Self::text).
    fn integer(number: i128, out: &mut BytesMut) {
        Self::text(number.to_string().as_bytes(), out);
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

/// A protocol whose frames are commands: a verb and arguments.
pub trait Commands: Replies {
    /// The verb and the arguments of a frame.
    ///
    /// An implementation must write `Self::Frame<'a>`, too: with the type itself the lifetime is of another kind
    /// (E0195).
    fn args<'a>(frame: Self::Frame<'a>) -> Args<'a>;
}

/// Writes replies of the protocol `P`.
pub struct Out<'a, P: Replies = Lf> {
    bytes: &'a mut BytesMut,
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
        Self { bytes, protocol: PhantomData }
    }

    /// One reply: a line, a bulk string, a frame.
    pub fn text(&mut self, text: impl AsRef<[u8]>) {
        P::text(text.as_ref(), self.bytes);
    }

    /// Bytes as they are, terminator included.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    /// A message.
    pub fn write(&mut self, message: impl Message) {
        message.write_to(self);
    }

    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        self.bytes
    }
}
