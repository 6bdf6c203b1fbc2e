//! Replies: what each protocol makes of them, and what comes next.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{borrow::Cow, sync::Arc};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use towline_middleware::{
    protocol::{AnyEol, CrLf, Head, Length, Lf, LineWithBody, Raw as RawBytes, Resp},
    reply::{Args, Close, Commands, IntoReply, Out, Raw, Replies, ReplyError, Value},
    session::Action,
};

/// What `reply` says, escaped, and whether the connection ends behind it.
fn said<P: Replies>(reply: impl IntoReply<P, ()>) -> (String, bool) {
    let mut bytes = BytesMut::new();
    let action = reply.into_reply(&mut Out::<P>::new(&mut bytes));
    (bytes.escape_ascii().to_string(), matches!(action, Action::Close))
}

/// Lines, of which none announces a body.
#[derive(Debug)]
enum NoBody {}

impl Head for NoBody {
    fn body_bytes(_: &[u8]) -> Result<Option<usize>, &'static str> {
        Ok(None)
    }
}

#[test]
fn text_is_one_reply_whatever_its_type() {
    assert_eq!(said::<Lf>("hi").0, r"hi\n");
    assert_eq!(said::<Lf>(String::from("hi")).0, r"hi\n");
    assert_eq!(said::<Lf>(&b"hi"[..]).0, r"hi\n");
    assert_eq!(said::<Lf>(b"hi".to_vec()).0, r"hi\n");
    assert_eq!(said::<Lf>(Bytes::from("hi")).0, r"hi\n");
    assert_eq!(said::<Lf>(Arc::<[u8]>::from(*b"hi")).0, r"hi\n");
    assert_eq!(said::<Lf>(Arc::<str>::from("hi")).0, r"hi\n");
    assert_eq!(said::<Lf>(Cow::Borrowed("hi")).0, r"hi\n");
    assert_eq!(said::<Lf>(format_args!("{}", "hi")).0, r"hi\n");
    assert_eq!(said::<Lf>("").0, r"\n");
}

#[test]
fn each_protocol_ends_replies_in_its_own_way() {
    assert_eq!(said::<CrLf>("hi").0, r"hi\r\n");
    assert_eq!(said::<AnyEol>("hi").0, r"hi\r\n");
    assert_eq!(said::<LineWithBody<NoBody>>("hi").0, r"hi\r\n");
    assert_eq!(said::<Length<2>>("hi").0, r"\x00\x02hi");
    assert_eq!(said::<RawBytes>("hi").0, "hi");
    assert_eq!(said::<Resp>("hi").0, r"$2\r\nhi\r\n");
}

#[test]
fn numbers_are_decimal() {
    assert_eq!(said::<Lf>([0_u16, 255]).0, r"0\n255\n");
    assert_eq!(said::<Lf>((i64::MIN, u64::MAX)).0, format!(r"{}\n{}\n", i64::MIN, u64::MAX));
    assert_eq!(said::<Lf>((7_usize, -0.5_f32, 1e3)).0, r"7\n-0.5\n1000\n");
    let mut out = BytesMut::new();
    Lf::integer(i128::MIN, &mut out);
    assert_eq!(&out[..], format!("{}\n", i128::MIN).as_bytes());
}

#[test]
fn an_array_is_as_many_replies_and_no_value_is_an_empty_one() {
    assert_eq!(said::<Lf>(["a", "b"]).0, r"a\nb\n");
    assert_eq!(said::<Lf>(vec!["a", "b"]).0, r"a\nb\n");
    assert_eq!(said::<Lf>(("a", 1, Some("b"), ())).0, r"a\n1\nb\n");
    assert_eq!(said::<Lf>(None::<&str>).0, r"\n");
    assert_eq!(said::<Lf>(()).0, "");
    assert_eq!(said::<Lf>(Vec::<&str>::new()).0, "");
    assert_eq!(said::<CrLf>(Raw("a\nb")).0, r"a\nb");
}

#[test]
fn resp_has_types_of_its_own() {
    assert_eq!(said::<Resp>(vec!["a"]).0, r"*1\r\n$1\r\na\r\n");
    assert_eq!(said::<Resp>(("a", 1)).0, r"*2\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(said::<Resp>(None::<&str>).0, r"$-1\r\n");
    assert_eq!(said::<Resp>(-7_i64).0, r":-7\r\n");
    assert_eq!(said::<Resp>(1.5).0, r"$3\r\n1.5\r\n");
    assert_eq!(said::<Resp>(ReplyError::of("WRONGTYPE", "no")).0, r"-WRONGTYPE no\r\n");
    let values = Value::array([Value::Ok, Value::Simple("PONG"), Value::bulk("a"), Value::Null]);
    assert_eq!(said::<Resp>(values.clone()).0, r"*4\r\n+OK\r\n+PONG\r\n$1\r\na\r\n$-1\r\n");
    assert_eq!(said::<Lf>(values).0, r"OK\nPONG\na\n\n");
}

#[test]
fn text_from_a_peer_cannot_split_a_reply() {
    assert_eq!(said::<Lf>("\na\n\nb\rc\n").0, r" a  b\rc \n");
    assert_eq!(said::<CrLf>("a\r\nb\n").0, r"a  b \r\n");
    assert_eq!(said::<AnyEol>("a\r\nb\r").0, r"a  b \r\n");
    assert_eq!(said::<CrLf>(ReplyError::owned("a\r\n250 b".into())).0, r"500 a  250 b\r\n");
    assert_eq!(said::<Lf>(ReplyError::owned("a\nOK".into())).0, r"ERR a OK\n");
    assert_eq!(said::<Resp>("a\r\nb").0, r"$4\r\na\r\nb\r\n");
    assert_eq!(said::<Resp>(ReplyError::owned("a\r\n+OK".into())).0, r"-ERR a  +OK\r\n");
}

#[test]
fn errors_and_last_words_say_what_comes_next() {
    let gone = ReplyError::new("gone");
    assert_eq!(said::<Lf>(gone.clone()), (r"ERR gone\n".into(), false));
    assert_eq!(said::<Lf>(gone.clone().fatal()), (r"ERR gone\n".into(), true));
    assert_eq!(said::<Lf>(Err::<(), _>(gone.clone())), (r"ERR gone\n".into(), false));
    assert_eq!(said::<CrLf>(gone), (r"500 gone\r\n".into(), false));
    assert_eq!(said::<CrLf>(ReplyError::with_code(552, "no")), (r"552 no\r\n".into(), false));
    assert_eq!(said::<Lf>(Ok::<_, ReplyError>(Close("bye"))), (r"bye\n".into(), true));
    assert_eq!(said::<Lf>(Close(())), (String::new(), true));
    assert_eq!(said::<Lf>(Action::Close), (String::new(), true));
}

#[test]
fn a_reply_that_is_too_long_for_its_length_is_an_error_that_fits() {
    assert_eq!(said::<Length<1>>("x".repeat(255)).0.len(), r"\xff".len() + 255);
    assert_eq!(said::<Length<1>>("x".repeat(256)).0, r"\x12ERR reply too long");
    let error = said::<Length<1>>(ReplyError::owned("x".repeat(300))).0;
    assert_eq!(error, format!(r"\xffERR {}", "x".repeat(251)));
}

#[test]
fn the_words_of_a_frame_are_its_command() {
    fn words<P: Commands>(frame: P::Frame<'_>) -> String {
        let args: Args<'_> = P::args(frame);
        let words: Vec<_> = [args.verb()].into_iter().chain(args).collect();
        words.join(&b'|').escape_ascii().to_string()
    }
    assert_eq!(words::<Lf>(b" SET  a b\r"), "SET|a|b");
    assert_eq!(words::<CrLf>(b"SET a"), "SET|a");
    assert_eq!(words::<AnyEol>(b"SET"), "SET");
    assert_eq!(words::<Length<2>>(b""), "");
}

#[test]
fn text_and_integers_allocate_nothing() {
    let mut bytes = BytesMut::with_capacity(1024);
    let allocated = measure(|| {
        let mut out = Out::<CrLf>::new(&mut bytes);
        out.text("text");
        out.write((i64::MIN, Some("text"), [1, 2, 3], None::<&str>));
    });
    assert_eq!(allocated.count_total, 0);
}
