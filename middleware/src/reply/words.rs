//! How replies are said in the built-in protocols.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use super::{Args, Commands, Replies, ReplyError};
use crate::protocol::{AnyEol, CrLf, Lf, Resp};

/// Appends a line. Bytes that would end it early become spaces, so that text from one peer cannot make two
/// replies to another.
fn line(text: &[u8], ends: &[u8], end: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(text);
    for byte in &mut out[start..] {
        if ends.contains(byte) {
            *byte = b' ';
        }
    }
    out.put_slice(end);
}

impl Replies for Lf {
    fn text(text: &[u8], out: &mut BytesMut) {
        line(text, b"\n", b"\n", out);
    }
}

impl Replies for AnyEol {
    fn text(text: &[u8], out: &mut BytesMut) {
        line(text, b"\r\n", b"\r\n", out);
    }
}

impl Replies for CrLf {
    fn text(text: &[u8], out: &mut BytesMut) {
        line(text, b"\r\n", b"\r\n", out);
    }

    /// `500 text`, or the code of the error in place of 500.
    fn error(error: &ReplyError, out: &mut BytesMut) {
        let text = format!("{} {}", error.code().unwrap_or(500), error.text());
        Self::text(text.as_bytes(), out);
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
        line(word.as_bytes(), b"\r\n", b"\r\n", out);
    }

    /// `-KIND text`.
    fn error(error: &ReplyError, out: &mut BytesMut) {
        out.put_u8(b'-');
        line(error.to_string().as_bytes(), b"\r\n", b"\r\n", out);
    }
}

macro_rules! words_of_lines {
    ($($protocol:ty)*) => { $(
        impl Commands for $protocol {
            fn args<'a>(frame: Self::Frame<'a>) -> Args<'a> {
                Args::words(frame)
            }
        }
    )* };
}
words_of_lines!(Lf AnyEol CrLf);

impl Commands for Resp {
    fn args<'a>(frame: Self::Frame<'a>) -> Args<'a> {
        frame
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::*;
    use crate::{
        protocol::{CrLf, Lf, Resp},
        session::Action,
    };

    fn said<P: Replies>(reply: impl IntoReply<P, ()>) -> (String, bool) {
        let mut bytes = BytesMut::new();
        let action = reply.into_reply(&mut Out::<P>::new(&mut bytes));
        (bytes.escape_ascii().to_string(), matches!(action, Action::Close))
    }

    #[test]
    fn a_reply_is_said_in_the_words_of_its_protocol() {
        assert_eq!(said::<Lf>("hi").0, r"hi\n");
        assert_eq!(said::<CrLf>("hi").0, r"hi\r\n");
        assert_eq!(said::<Resp>("hi").0, r"$2\r\nhi\r\n");
        assert_eq!(said::<Resp>(vec!["a"]).0, r"*1\r\n$1\r\na\r\n");
        assert_eq!(said::<Resp>(("a", 1_i64)).0, r"*2\r\n$1\r\na\r\n:1\r\n");
        assert_eq!(said::<Lf>(["a", "b"]).0, r"a\nb\n");
        assert_eq!(said::<Resp>(None::<&str>).0, r"$-1\r\n");
        assert_eq!(said::<Resp>(Value::Ok).0, r"+OK\r\n");
        assert_eq!(said::<Lf>(-7_i64).0, r"-7\n");
        assert_eq!(said::<Lf>(()).0, "");
        assert_eq!(said::<CrLf>(Raw("x")).0, "x");
    }

    #[test]
    fn errors_and_last_words_say_what_comes_next() {
        let gone = ReplyError::new("gone");
        assert_eq!(said::<Lf>(gone.clone()), (r"ERR gone\n".into(), false));
        assert_eq!(said::<Lf>(gone.clone().fatal()), (r"ERR gone\n".into(), true));
        assert_eq!(said::<Resp>(Err::<(), _>(gone.clone())), (r"-ERR gone\r\n".into(), false));
        assert_eq!(said::<CrLf>(gone), (r"500 gone\r\n".into(), false));
        assert_eq!(said::<CrLf>(ReplyError::with_code(552, "no")), (r"552 no\r\n".into(), false));
        assert_eq!(said::<Lf>(Ok::<_, ReplyError>(Close("bye"))), (r"bye\n".into(), true));
    }

    #[test]
    fn text_from_a_peer_cannot_split_a_reply() {
        assert_eq!(said::<Lf>("a\nb\rc").0, r"a b\rc\n");
        assert_eq!(said::<CrLf>("a\r\nb").0, r"a  b\r\n");
        assert_eq!(said::<Resp>("a\r\nb").0, r"$4\r\na\r\nb\r\n");
        assert_eq!(said::<Resp>(ReplyError::owned("a\r\nb".into())).0, r"-ERR a  b\r\n");
    }
}
