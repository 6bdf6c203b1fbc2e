//! Replies whose type is known at run time.

use bytes::Bytes;

use super::{Message, Out, Replies};

/// A reply of a type that is known at run time, in the types that RESP has.
///
/// Replies of known types need none: integers, text, arrays and tuples are messages as they are. In a protocol of
/// lines an array is its lines, and null an empty one.
///
/// ```
/// use bytes::BytesMut;
/// use towline_middleware::{protocol::Resp, reply::{Out, Value}};
///
/// let mut said = BytesMut::new();
/// Out::<Resp>::new(&mut said).write(Value::array([Value::bulk("a"), Value::Int(1), Value::Null]));
/// assert_eq!(&said[..], b"*3\r\n$1\r\na\r\n:1\r\n$-1\r\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// `+OK`.
    Ok,
    /// A simple string.
    Simple(&'static str),
    /// An integer.
    Int(i64),
    /// A bulk string.
    Bulk(Bytes),
    /// The null bulk string.
    Null,
    /// An array.
    Array(Vec<Self>),
}

impl Value {
    /// A bulk string, copied.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// An array.
    pub fn array(values: impl IntoIterator<Item = Self>) -> Self {
        Self::Array(values.into_iter().collect())
    }
}

impl Message for Value {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        match self {
            Self::Ok => P::status("OK", out.bytes()),
            Self::Simple(word) => P::status(word, out.bytes()),
            Self::Int(number) => out.write(number),
            Self::Bulk(bytes) => out.text(bytes),
            Self::Null => P::null(out.bytes()),
            Self::Array(values) => out.write(values),
        }
    }
}
