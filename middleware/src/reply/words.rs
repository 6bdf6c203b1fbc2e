//! How replies are said in the built-in protocols.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use super::{Args, Commands, Out, Replies, ReplyError};
use crate::{
    protocol::{
        AnyEol, ByteOrder, CrLf, Head, Length, Lf, LineWithBody, Raw, Resp,
        one_line::{self, put_text},
    },
    swar,
};

/// Code of a `CrLf` error that has none.
const ERROR_CODE: u16 = 500;

/// Appends a line that ends in `end`, as [`put_text`] does; short ones without a loop.
#[inline]
fn put_line<const N: usize>(text: &[u8], (a, b): (u8, u8), end: &[u8; N], out: &mut BytesMut) {
    // A word that does not fit would make a block grow that the line itself does not fill.
    if text.len() + N <= swar::BYTES && out.capacity() - out.len() >= swar::BYTES {
        let line = swar::load(text);
        if swar::position(line, a).or(swar::position(line, b)).is_none() {
            let line = line | swar::load(end) << (8 * text.len());
            let len = out.len() + text.len() + N;
            out.put_slice(&line.to_le_bytes());
            out.truncate(len);
            return;
        }
    }
    put_any_line(text, (a, b), end, out);
}

fn put_any_line(text: &[u8], breaks: (u8, u8), end: &[u8], out: &mut BytesMut) {
    out.reserve(text.len() + end.len());
    put_text(text, breaks, out);
    out.put_slice(end);
}

/// Appends a line that ends in `\r\n`.
#[inline]
fn put_crlf(text: &[u8], out: &mut BytesMut) {
    put_line(text, one_line::CR_LF, b"\r\n", out);
}

/// A reply is a line; a `\n` in it becomes a space.
impl Replies for Lf {
    #[inline]
    fn text(text: &[u8], out: &mut BytesMut) {
        put_line(text, one_line::LF, b"\n", out);
    }
}

impl Out<'_, Lf> {
    /// Writes `line` and a `\n`: [`text`](Self::text), by the name that fits lines.
    ///
    /// A `\n` in it becomes a space.
    pub fn line(&mut self, line: impl AsRef<[u8]>) {
        self.text(line);
    }
}

/// A reply is a line that ends in `\r\n`; each `\r` and `\n` in it becomes a space.
impl Replies for AnyEol {
    fn text(text: &[u8], out: &mut BytesMut) {
        put_crlf(text, out);
    }
}

/// A reply is a line; each `\r` and `\n` in it becomes a space.
impl Replies for CrLf {
    fn text(text: &[u8], out: &mut BytesMut) {
        put_crlf(text, out);
    }

    /// `500 text`, or the code of the error in place of 500.
    fn error(error: &ReplyError, out: &mut BytesMut) {
        let code = error.code().unwrap_or(ERROR_CODE);
        put_crlf(format!("{code} {}", error.text()).as_bytes(), out);
    }
}

/// A reply is a line that ends in `\r\n`; each `\r` and `\n` in it becomes a space. A body is written with
/// [`Out::raw`](super::Out::raw).
impl<H: Head> Replies for LineWithBody<H> {
    fn text(text: &[u8], out: &mut BytesMut) {
        put_crlf(text, out);
    }

    /// What [`Head::error_text`] says, on one line.
    fn error(error: &ReplyError, out: &mut BytesMut) {
        put_crlf(H::error_text(error).as_bytes(), out);
    }
}

/// A reply is a frame. One that is too long for `WIDTH` bytes of length becomes the error `reply too long`.
impl<const WIDTH: usize, E: ByteOrder> Replies for Length<WIDTH, E> {
    fn text(text: &[u8], out: &mut BytesMut) {
        if Self::put(text, out).is_err() {
            Self::error(&ReplyError::new("reply too long"), out);
        }
    }

    /// `ERR text`, cut at 255 bytes if it is too long for `WIDTH` bytes of length.
    fn error(error: &ReplyError, out: &mut BytesMut) {
        let error = error.to_string();
        if Self::put(error.as_bytes(), out).is_err() {
            // It fits the shortest length.
            let _ = Self::put(&error.as_bytes()[..usize::from(u8::MAX)], out);
        }
    }
}

/// A reply is its bytes, with nothing around them.
impl Replies for Raw {
    fn text(text: &[u8], out: &mut BytesMut) {
        out.put_slice(text);
    }
}

/// Appends a type, a number and the end of the line.
fn head(kind: char, number: i128, out: &mut BytesMut) {
    // Writing to memory does not fail.
    let _ = write!(out, "{kind}{number}\r\n");
}

impl Replies for Resp {
    /// A bulk string.
    fn text(text: &[u8], out: &mut BytesMut) {
        head('$', text.len() as i128, out);
        out.put_slice(text);
        out.put_slice(b"\r\n");
    }

    fn integer(number: i128, out: &mut BytesMut) {
        head(':', number, out);
    }

    fn null(out: &mut BytesMut) {
        out.put_slice(b"$-1\r\n");
    }

    fn array(len: usize, out: &mut BytesMut) {
        head('*', len as i128, out);
    }

    /// A simple string.
    fn status(word: &str, out: &mut BytesMut) {
        out.put_u8(b'+');
        put_crlf(word.as_bytes(), out);
    }

    /// `-KIND text`.
    fn error(error: &ReplyError, out: &mut BytesMut) {
        out.put_u8(b'-');
        put_crlf(error.to_string().as_bytes(), out);
    }
}

macro_rules! words_of_lines {
    ($($protocol:ty)*) => { $(
        impl Commands for $protocol {
            #[inline]
            fn args<'a>(frame: Self::Frame<'a>) -> Args<'a> {
                Args::words(frame)
            }
        }
    )* };
}
words_of_lines!(Lf AnyEol CrLf);

/// The words of the payload are the command.
impl<const WIDTH: usize, E: ByteOrder> Commands for Length<WIDTH, E> {
    fn args<'a>(frame: Self::Frame<'a>) -> Args<'a> {
        Args::words(frame)
    }
}

/// The words of the line are the command, and the bytes behind it are its [body](Args::body).
impl<H: Head> Commands for LineWithBody<H> {
    fn args<'a>((line, body): Self::Frame<'a>) -> Args<'a> {
        let args = Args::words(line);
        match body {
            Some(body) => args.with_body(body),
            None => args,
        }
    }
}

impl Commands for Resp {
    fn args<'a>(frame: Self::Frame<'a>) -> Args<'a> {
        frame
    }
}
