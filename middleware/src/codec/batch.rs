use std::{fmt, marker::PhantomData, sync::Arc};

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    LineLimits,
    client_hello::{Beginning, beginning},
};
use crate::{
    Batch, LineError,
    batch::SMALL_BYTES,
    protocol::{FrameLimits, Lf, Protocol},
    thread_context::block_pool::SHORT_BLOCK_BYTES,
};

/// Decodes every whole frame of what was read as one batch; encodes a batch as it is.
///
/// [`LinesBatchCodec`] is the codec of the default protocol. A frame longer than the limit, or a malformed
/// one, is an error, after the frames before it were delivered. At the end of input an unfinished frame
/// stays in the buffer, undelivered.
///
/// *Costs*: a call of [`Protocol::delimit`] a batch, and no work a frame beside it.
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::Decoder;
/// use towline_middleware::{BatchCodec, protocol::Lf};
///
/// let mut codec = BatchCodec::<Lf>::new(64 * 1024);
/// let mut read = BytesMut::from("one\ntwo\nthr");
/// let batch = codec.decode(&mut read)?.unwrap();
/// assert_eq!((batch.count(), &read[..]), (2, &b"thr"[..]));
/// # Ok::<_, towline_middleware::LineError>(())
/// ```
pub struct BatchCodec<P: Protocol = Lf> {
    limits: Arc<LineLimits>,
    /// Length of the buffer's beginning in which no frame ends.
    scanned: u32,
    /// Length of the buffer below which it holds no whole frame, or [`UNSEEN`].
    needed: u32,
    protocol: PhantomData<fn() -> P>,
}

/// Decodes everything up to the *last* newline as one batch; encodes a batch as it is.
///
/// A line ends in `\n`; a `\r` before it belongs to the line; every other byte is opaque. A line longer
/// than the limit is an error, after the lines before it were delivered. At the end of input an
/// unterminated rest stays in the buffer, undelivered.
///
/// *Costs*: two SIMD passes over each byte (count the newlines, find the last), no work a line, and at most
/// five passes whatever the lines and the limits. Bytes without a newline are never scanned twice, beyond the
/// first 32 of a line.
pub type LinesBatchCodec = BatchCodec<Lf>;

impl<P: Protocol> BatchCodec<P> {
    /// A codec for frames of at most `limit_bytes`, as the protocol counts them, for lines without the
    /// terminator; 4 GiB is the most.
    pub fn new(limit_bytes: usize) -> Self {
        Self::shared(Arc::new(LineLimits::new(limit_bytes)))
    }

    /// A codec that shares `limits` with others, and loads them whenever bytes came in.
    pub const fn shared(limits: Arc<LineLimits>) -> Self {
        let needed = if P::REFUSES_TLS { UNSEEN } else { 0 };
        Self { limits, scanned: 0, needed, protocol: PhantomData }
    }

    /// Cuts batches of at most this many frames; 0 is taken as 1. Default: 16,384. Lower it for services
    /// whose replies are much longer than their frames. Holds for all codecs that share the limits.
    #[must_use]
    pub fn lines_max(self, lines: u32) -> Self {
        self.limits.set_lines(lines);
        self
    }

    /// The longest frame.
    pub fn limit_bytes(&self) -> usize {
        self.limits.in_force().0
    }

    /// Limits this connection's frames to `bytes`, within the limit that it shares with other connections. Bytes that
    /// are not cut yet are examined again.
    pub(crate) fn set_frame_max(&mut self, bytes: usize) {
        self.limits = self.limits.within(bytes);
        self.scanned = 0;
        if self.needed != UNSEEN {
            self.needed = 0;
        }
    }

    /// Has everything that comes taken as it is, as batches of no frames, or cut into frames again.
    pub(crate) fn set_raw(&mut self, raw: bool) {
        self.limits = self.limits.raw(raw);
        (self.scanned, self.needed) = (0, 0);
    }
}

/// The value of `needed` while the beginning of the connection was not examined. It is longer than any buffer, so
/// nothing that is done for each batch asks for it.
const UNSEEN: u32 = u32::MAX;

/// Bytes up to which a protocol is asked first whether they are one frame.
const SHORT_BYTES: usize = 32;

/// Splits off the first `bytes`: into memory of their own, unless they are many, or are all there is in a
/// small or full buffer.
#[inline]
fn take(src: &mut BytesMut, bytes: usize) -> BytesMut {
    if bytes == src.len() && src.capacity() <= bytes.max(SHORT_BLOCK_BYTES) {
        std::mem::take(src)
    } else if bytes <= SMALL_BYTES {
        let copy = BytesMut::from(&src[..bytes]);
        src.advance(bytes);
        copy
    } else {
        src.split_to(bytes)
    }
}

impl<P: Protocol> Decoder for BatchCodec<P> {
    type Item = Batch<P>;
    type Error = LineError;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Batch<P>>, LineError> {
        // After most batches there is nothing left.
        if src.is_empty() {
            return Ok(None);
        }
        // What a peer that waits for each reply sends. The general way would be fetched into the
        // processor's cache for it between two system calls.
        let len = src.len();
        if len <= SHORT_BYTES && P::is_one_frame(src, self.limits.bytes()) {
            (self.scanned, self.needed) = (0, 0);
            return Ok(Some(Batch::counted(take(src, len), 1)));
        }
        self.cut(src)
    }

    /// Asks the protocol once more, even if it wanted more bytes: whether the rest is malformed or the beginning of
    /// a frame must not depend on how the input was cut into reads.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Batch<P>>, LineError> {
        self.needed = 0;
        self.decode(src)
    }
}

impl<P: Protocol> BatchCodec<P> {
    #[inline(never)]
    fn cut(&mut self, src: &mut BytesMut) -> Result<Option<Batch<P>>, LineError> {
        if self.limits.is_raw() {
            let len = src.len();
            return Ok(Some(Batch::counted(take(src, len), 0)));
        }
        let mut undecided = false;
        if src.len() < self.needed as usize {
            if self.needed != UNSEEN {
                return Ok(None);
            }
            undecided = match beginning(src) {
                Beginning::ClientHello => return Err(LineError::ClientHello),
                beginning => beginning == Beginning::Undecided,
            };
        }
        let scanned = (self.scanned as usize).min(src.len());
        let (frame_bytes, shared) = self.limits.in_force();
        let frames = shared.lines_max_for(src.len() - scanned) as u32;
        let limits = FrameLimits { frame_bytes, frames, scanned };
        let found = P::delimit(src, &limits)?;
        self.scanned = found.scanned as u32;
        let needed = if found.wanted > 0 { src.len() - found.whole + found.wanted } else { 0 };
        self.needed = u32::try_from(needed).unwrap_or(UNSEEN - 1).min(UNSEEN - 1);
        if found.whole == 0 {
            if undecided {
                self.needed = UNSEEN;
            }
            LineLimits::reserve_for_rest(src, frame_bytes);
            return Ok(None);
        }
        Ok(Some(Batch::counted(take(src, found.whole), found.frames)))
    }
}

impl<P: Protocol> Encoder<Batch<P>> for BatchCodec<P> {
    type Error = LineError;

    /// Copies nothing if it need not: a batch that is the only owner of its memory *becomes* the empty
    /// output buffer.
    #[inline]
    fn encode(&mut self, batch: Batch<P>, dst: &mut BytesMut) -> Result<(), LineError> {
        if !dst.is_empty() {
            dst.extend_from_slice(batch.as_bytes());
            return Ok(());
        }
        match batch.try_into_mut() {
            Ok(owned) => *dst = owned,
            Err(shared) => dst.extend_from_slice(&shared),
        }
        Ok(())
    }
}

// Derived, these would ask the same of the protocol.
impl<P: Protocol> Clone for BatchCodec<P> {
    fn clone(&self) -> Self {
        Self { limits: self.limits.clone(), ..*self }
    }
}

impl<P: Protocol> fmt::Debug for BatchCodec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchCodec")
            .field("limits", &self.limits)
            .field("scanned", &self.scanned)
            .field("needed", &self.needed)
            .finish()
    }
}
