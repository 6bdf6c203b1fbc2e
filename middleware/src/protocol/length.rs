use std::marker::PhantomData;

use bytes::{BufMut, BytesMut};

use super::{
    Delimited, FrameError, FrameLimits, Notice, Protocol,
    each::{First, delimit_each},
};
use crate::reply::Replies;

/// Frames that begin with their length, in `WIDTH` bytes of order `E`: for binary gateways.
///
/// `WIDTH` is 1, 2, 3, 4 or 8; another one does not compile. The length counts the payload, not itself.
///
/// *Accepts*: any payload, also an empty one; a frame is the payload. *Refuses*: a length above
/// [`FrameLimits::frame_bytes`], as soon as it was read and before any memory is taken for it. *Writes*: no
/// notices, because it has no words for them, except errors that stand for a reply, as frames. So the server ends
/// connections without a notice, and there is no heartbeat. [`put`](Self::put) writes a frame. *Costs*: a few
/// instructions a frame, twice; payloads are not scanned.
///
/// ```
/// use bytes::BytesMut;
/// use towline_middleware::{Batch, protocol::{Length, LittleEndian}};
///
/// let mut out = BytesMut::new();
/// Length::<2>::put(b"one", &mut out)?;
/// assert_eq!(&out[..], b"\0\x03one");
/// assert!(Batch::<Length<2>>::new(out).unwrap().frames().eq([b"one"]));
///
/// let batch = Batch::<Length<4, LittleEndian>>::new(&b"\x02\0\0\0hi"[..]).unwrap();
/// assert!(batch.frames().eq([b"hi"]));
/// # Ok::<_, towline_middleware::protocol::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Length<const WIDTH: usize, E: ByteOrder = BigEndian>(PhantomData<fn() -> E>);

/// The order of a length's bytes: [`BigEndian`] or [`LittleEndian`].
pub trait ByteOrder: Send + Sync + 'static {
    /// Whether the first byte is the most significant one.
    const BIG: bool;
}

/// The most significant byte first, as usual in networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BigEndian {}

/// The least significant byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LittleEndian {}

impl ByteOrder for BigEndian {
    const BIG: bool = true;
}

impl ByteOrder for LittleEndian {
    const BIG: bool = false;
}

impl<const WIDTH: usize, E: ByteOrder> Length<WIDTH, E> {
    const LONGEST: u64 = {
        assert!(matches!(WIDTH, 1 | 2 | 3 | 4 | 8), "a length has 1, 2, 3, 4 or 8 bytes");
        u64::MAX >> (64 - 8 * WIDTH)
    };

    /// Appends `payload` to `out` as a frame.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the length does not fit `WIDTH` bytes; nothing is written then.
    pub fn put(payload: &[u8], out: &mut BytesMut) -> Result<(), FrameError> {
        let len = payload.len() as u64;
        if len > Self::LONGEST {
            return Err(FrameError::TooLong { limit_bytes: Self::LONGEST as usize });
        }
        if E::BIG {
            out.put_uint(len, WIDTH);
        } else {
            out.put_uint_le(len, WIDTH);
        }
        out.put_slice(payload);
        Ok(())
    }

    /// The length that `bytes` begin with, or `None` if it is not all there. More than a `usize` is its most.
    #[inline]
    fn read(bytes: &[u8]) -> Option<usize> {
        const { assert!(Self::LONGEST > 0) };
        let prefix = bytes.get(..WIDTH)?;
        let join = |len: u64, byte: &u8| len << 8 | u64::from(*byte);
        let len =
            if E::BIG { prefix.iter().fold(0, join) } else { prefix.iter().rev().fold(0, join) };
        Some(usize::try_from(len).unwrap_or(usize::MAX))
    }
}

impl<const WIDTH: usize, E: ByteOrder> Protocol for Length<WIDTH, E> {
    type Frame<'a> = &'a [u8];

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        let limit_bytes = limits.frame_bytes;
        delimit_each(bytes, limits, |bytes, _| {
            let Some(len) = Self::read(bytes) else {
                return Ok(First::Unfinished { scanned: 0, wanted: WIDTH - bytes.len() });
            };
            if len > limit_bytes {
                return Err(FrameError::TooLong { limit_bytes });
            }
            let whole = len.saturating_add(WIDTH);
            Ok(if whole <= bytes.len() {
                First::Whole(whole)
            } else {
                First::Unfinished { scanned: 0, wanted: whole - bytes.len() }
            })
        })
    }

    #[inline]
    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        let Some(len) = Self::read(bytes) else { return std::mem::take(bytes) };
        let rest = &bytes[WIDTH..];
        let (payload, rest) = rest.split_at(len.min(rest.len()));
        *bytes = rest;
        payload
    }

    fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
        // It stands for a reply, without which the peer would take the next one for it.
        if let Notice::ReplyError(error) = notice {
            Self::error(error, out);
        }
    }
}
