//! What can be said in any protocol.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;

use super::{Out, Replies};

/// Something to say, in any protocol: the data of replies. Implement it for types of your own.
///
/// Text and bytes are one reply; numbers are decimal; `None` is the protocol's null, or an empty reply; an
/// array, a `Vec` or a tuple is an array, or as many replies; `()` is none at all.
///
/// ```
/// use bytes::BytesMut;
/// use towline_middleware::{protocol::{CrLf, Lf}, reply::{Message, Out, Replies}};
///
/// struct Reading {
///     name: &'static str,
///     celsius: f64,
/// }
///
/// impl Message for Reading {
///     fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
///         out.write(format_args!("{} {}", self.name, self.celsius));
///     }
/// }
///
/// let mut said = BytesMut::new();
/// Out::<Lf>::new(&mut said).write(Reading { name: "roof", celsius: 21.5 });
/// Out::<CrLf>::new(&mut said).write((Reading { name: "cellar", celsius: 8.0 }, "and", [1, 2]));
/// assert_eq!(&said[..], b"roof 21.5\ncellar 8\r\nand\r\n1\r\n2\r\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be said to a peer",
    note = "messages are text, bytes, integers, `Option`, arrays, `Vec`, `Value`, `Raw`, `()`, and types that implement `Message`"
)]
pub trait Message: Sized {
    /// Writes it.
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>);
}

/// Bytes that are written as they are, terminator included.
#[derive(Debug, Clone, Copy)]
pub struct Raw<T>(pub T);

impl<T: AsRef<[u8]>> Message for Raw<T> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        out.raw(self.0.as_ref());
    }
}

macro_rules! texts {
    ($($T:ty)*) => { $(impl Message for $T {
        fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
            out.text(self);
        }
    })* };
}
texts!(&str String &String &[u8] Vec<u8> Bytes &Bytes Arc<[u8]> Box<[u8]>);

impl Message for Arc<str> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        out.text(self.as_bytes());
    }
}

impl Message for Cow<'_, str> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        out.text(self.as_bytes());
    }
}

macro_rules! integers {
    ($($T:ty)*) => { $(impl Message for $T {
        fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
            P::integer(i128::from(self), out.bytes());
        }
    })* };
}
integers!(i8 i16 i32 i64 u16 u32 u64);

impl Message for usize {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        P::integer(self as i128, out.bytes());
    }
}

impl Message for fmt::Arguments<'_> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        match self.as_str() {
            Some(text) => out.text(text),
            None => out.text(self.to_string()),
        }
    }
}

macro_rules! floats {
    ($($T:ty)*) => { $(impl Message for $T {
        fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
            out.text(self.to_string());
        }
    })* };
}
floats!(f32 f64);

/// Nothing is said.
impl Message for () {
    fn write_to<P: Replies>(self, _: &mut Out<'_, P>) {}
}

/// `None` is the protocol's null.
impl<T: Message> Message for Option<T> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        match self {
            Some(message) => message.write_to(out),
            None => P::null(out.bytes()),
        }
    }
}

fn all<P: Replies>(messages: impl ExactSizeIterator<Item: Message>, out: &mut Out<'_, P>) {
    P::array(messages.len(), out.bytes());
    messages.for_each(|message| message.write_to(out));
}

/// An array, or as many lines.
impl<T: Message, const N: usize> Message for [T; N] {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        all(self.into_iter(), out);
    }
}

/// An array, or as many lines.
impl<T: Message> Message for Vec<T> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        all(self.into_iter(), out);
    }
}

macro_rules! tuples {
    ($len:literal: $($T:ident)*) => {
        /// An array whose members are of different types, or as many lines.
        impl<$($T: Message),*> Message for ($($T,)*) {
            #[allow(non_snake_case)]
            fn write_to<Pr: Replies>(self, out: &mut Out<'_, Pr>) {
                let ($($T,)*) = self;
                Pr::array($len, out.bytes());
                $($T.write_to(out);)*
            }
        }
    };
}
tuples!(2: A B);
tuples!(3: A B C);
tuples!(4: A B C D);
