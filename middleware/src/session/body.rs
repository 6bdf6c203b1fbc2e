//! Bytes that are no frames.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;

use super::Action;
use crate::reply::{IntoReply, Out, Replies};

/// Bytes behind a frame that are no frames themselves, such as a message whose length the frame tells.
///
/// Each piece is given to [`Session::on_body`](super::Session::on_body) as it comes; nothing is collected. Frames
/// follow behind the last one. The time for each piece is that of an unfinished frame, `timeouts.line`.
///
/// ```
/// use towline_middleware::{
///     protocol::Lf,
///     session::{Action, ActionOf, Body, Cx, FrameOf, Session},
/// };
///
/// /// `PUT n` is followed by n bytes, which are counted.
/// #[derive(Default)]
/// struct Sink {
///     taken: usize,
/// }
///
/// impl Session for Sink {
///     type Protocol = Lf;
///
///     fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         let len = frame.strip_prefix(b"PUT ").and_then(|len| str::from_utf8(len).ok()?.parse().ok());
///         match len {
///             Some(len) => Action::Body(Body::bytes(len).at_most(1 << 20)),
///             None => cx.reply("PUT n, please"),
///         }
///     }
///
///     fn on_body(&mut self, piece: &[u8], last: bool, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         self.taken += piece.len();
///         if last { cx.reply(self.taken) } else { Action::Continue }
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a body is asked for by returning it"]
pub struct Body(Box<Wanted>);

/// In a box, so that an [`Action`] returns in two registers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    end: End,
    bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// The number of bytes that are left.
    After(u64),
    /// The bytes that end it, which are no part of it.
    Before(Bytes),
}

impl Body {
    /// `bytes` bytes.
    pub fn bytes(bytes: u64) -> Self {
        Self::of(End::After(bytes))
    }

    fn of(end: End) -> Self {
        Self(Box::new(Wanted { end, bytes_max: u64::MAX }))
    }

    /// Bytes up to `delimiter`, which is taken and is part of no piece. An empty one is found at once.
    pub fn until(delimiter: impl Into<Bytes>) -> Self {
        Self::of(End::Before(delimiter.into()))
    }

    /// Ends the connection as [`CloseReason::LineTooLong`](crate::stats::CloseReason::LineTooLong), with the word of
    /// the protocol, if the body is longer than `bytes`. Default: no limit, because nothing is collected here.
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.0.bytes_max = bytes;
        self
    }
}

impl<P: Replies, S> IntoReply<P, S> for Body {
    fn into_reply(self, _: &mut Out<'_, P>) -> Action<P, S> {
        Action::Body(self)
    }
}

/// A body of which a part has come.
#[derive(Debug)]
pub(super) struct BodyCut {
    end: End,
    left_max: u64,
    bytes_max: u64,
    /// The beginning of the delimiter, with which the last piece ended.
    held: usize,
}

/// What of some bytes is the body's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut<'a> {
    /// A piece, and whether it is the last; how many of the bytes were taken.
    Piece { piece: Cow<'a, [u8]>, last: bool, taken: usize },
    /// The body is longer than its limit.
    TooLong { limit_bytes: usize },
}

impl BodyCut {
    pub(super) fn new(body: Body) -> Self {
        let Wanted { end, bytes_max } = *body.0;
        Self { end, left_max: bytes_max, bytes_max, held: 0 }
    }

    /// Whether it is empty, so that it has ended before anything came.
    pub(super) fn is_over(&self) -> bool {
        match &self.end {
            End::After(bytes) => *bytes == 0,
            End::Before(delimiter) => delimiter.is_empty(),
        }
    }

    /// Takes what is the body's off the beginning of `bytes`, which are not empty.
    pub(super) fn cut<'a>(&mut self, bytes: &'a [u8]) -> Cut<'a> {
        let (piece, last, taken) = match &mut self.end {
            End::After(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                (Cow::Borrowed(&bytes[..taken]), *left == 0, taken)
            }
            End::Before(delimiter) => {
                let held = self.held;
                // Most pieces do not begin inside of what may be the delimiter.
                let joined = match held {
                    0 => Cow::Borrowed(bytes),
                    _ => Cow::Owned([&delimiter[..held], bytes].concat()),
                };
                match memmem::find(&joined, delimiter) {
                    Some(at) => (cut_off(joined, at), true, at + delimiter.len() - held),
                    None => {
                        self.held = end_of(&joined, delimiter);
                        let len = joined.len() - self.held;
                        (cut_off(joined, len), false, bytes.len())
                    }
                }
            }
        };
        match self.left_max.checked_sub(piece.len() as u64) {
            Some(left) => self.left_max = left,
            None => {
                let limit_bytes = usize::try_from(self.bytes_max).unwrap_or(usize::MAX);
                return Cut::TooLong { limit_bytes };
            }
        }
        Cut::Piece { piece, last, taken }
    }
}

/// The first `len` of some bytes.
fn cut_off(bytes: Cow<'_, [u8]>, len: usize) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..len]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(len);
            Cow::Owned(bytes)
        }
    }
}

/// Length of the longest end of `bytes` with which `delimiter` begins, without being whole.
fn end_of(bytes: &[u8], delimiter: &[u8]) -> usize {
    let longest = bytes.len().min(delimiter.len() - 1);
    (1..=longest).rev().find(|&len| bytes.ends_with(&delimiter[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a body is cut into, and what is left, if it comes in pieces of these lengths.
    fn cut(body: Body, input: &[u8], lens: &[usize]) -> (Vec<u8>, bool, Vec<u8>) {
        let mut cut = BodyCut::new(body);
        let (mut whole, mut rest, mut lens) = (Vec::new(), input, lens.iter().cycle());
        while !rest.is_empty() {
            let (bytes, behind) = rest.split_at(rest.len().min(*lens.next().expect("endless")));
            match cut.cut(bytes) {
                Cut::Piece { piece, last, taken } => {
                    whole.extend_from_slice(&piece);
                    if last {
                        return (whole, true, [&bytes[taken..], behind].concat());
                    }
                    assert_eq!(taken, bytes.len());
                }
                Cut::TooLong { .. } => panic!("too long"),
            }
            rest = behind;
        }
        (whole, false, Vec::new())
    }

    proptest! {
        #[test]
        fn a_body_ends_where_it_does_however_it_is_cut(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.')], 0..40),
            lens in proptest::collection::vec(1..6_usize, 1..5),
            bytes in 1..50_u64,
        ) {
            let delimiter = b"\r\n.\r\n";
            let found = memmem::find(&input, delimiter);
            let (whole, ended, rest) = cut(Body::until(&delimiter[..]), &input, &lens);
            prop_assert_eq!(ended, found.is_some());
            if let Some(at) = found {
                prop_assert_eq!((&whole[..], &rest[..]), (&input[..at], &input[at + 5..]));
            }
            let (whole, ended, rest) = cut(Body::bytes(bytes), &input, &lens);
            prop_assert_eq!(ended, input.len() as u64 >= bytes);
            prop_assert_eq!([whole, rest].concat(), input);
        }
    }

    #[test]
    fn a_body_that_is_too_long_is_told_at_the_byte_that_is_too_much() {
        let mut body = BodyCut::new(Body::until("END").at_most(4));
        let whole = |piece: &'static str, taken| Cut::Piece {
            piece: piece.as_bytes().into(),
            last: false,
            taken,
        };
        assert_eq!(body.cut(b"abE"), whole("ab", 3));
        assert_eq!(body.cut(b"Nd"), Cut::TooLong { limit_bytes: 4 });
        assert!(BodyCut::new(Body::bytes(0)).is_over() && BodyCut::new(Body::until("")).is_over());
    }
}
