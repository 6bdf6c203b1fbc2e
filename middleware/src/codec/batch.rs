use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    LineLimits,
    scan::{count, find_last, first_lines},
};
use crate::{LineError, Lines, lines::SMALL_BYTES, thread_context::block_pool::SHORT_BLOCK_BYTES};

/// Decodes everything up to the *last* newline as one batch; encodes a batch as it is.
///
/// A line ends in `\n`; a `\r` before it belongs to the line; every other byte is opaque. A line longer
/// than the limit is an error, after the lines before it were delivered. At the end of input an
/// unterminated rest stays in the buffer, undelivered.
///
/// *Costs*: two SIMD passes over each byte (count the newlines, find the last), no work a line, and at most
/// five passes whatever the lines and the limits. Bytes without a newline are never scanned twice, beyond the
/// first 32 of a line. The length limit is checked only in batches in which a line *could* exceed it, and
/// then once per limit's length, not once a line.
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::Decoder;
/// use towline_middleware::LinesBatchCodec;
///
/// let mut codec = LinesBatchCodec::new(64 * 1024);
/// let mut read = BytesMut::from("one\ntwo\nthr");
/// let batch = codec.decode(&mut read)?.unwrap();
/// assert_eq!((batch.count(), &read[..]), (2, &b"thr"[..]));
/// # Ok::<_, towline_middleware::LineError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LinesBatchCodec {
    limits: Arc<LineLimits>,
    /// Length of the buffer's beginning that is known to hold no newline.
    scanned: u32,
}

impl LinesBatchCodec {
    /// A codec for lines of at most `limit_bytes`, terminator excluded; 4 GiB is the most.
    pub fn new(limit_bytes: usize) -> Self {
        Self::shared(Arc::new(LineLimits::new(limit_bytes)))
    }

    /// A codec that shares `limits` with others, and loads them whenever bytes came in.
    pub const fn shared(limits: Arc<LineLimits>) -> Self {
        Self { limits, scanned: 0 }
    }

    /// Cuts batches of at most this many lines; 0 is taken as 1. Default: 16,384. Lower it for services
    /// whose replies are much longer than their lines. Holds for all codecs that share the limits.
    #[must_use]
    pub fn lines_max(self, lines: u32) -> Self {
        self.limits.set_lines(lines);
        self
    }

    /// The longest line, terminator excluded.
    pub fn limit_bytes(&self) -> usize {
        self.limits.bytes()
    }

    /// Where the first line begins that is too long, in `terminated` lines.
    ///
    /// From the start of a line the next `limit + 1` bytes must hold a newline; the last one in that window
    /// ends a line too, and the next window starts behind it.
    fn first_too_long(&self, terminated: &[u8]) -> Option<usize> {
        let window = self.limit_bytes().saturating_add(1);
        let mut start = 0;
        while terminated.len() - start > window {
            match find_last(&terminated[start..start + window]) {
                Some(at) => start += at + 1,
                None => return Some(start),
            }
        }
        None
    }
}

/// Bytes up to which a plain loop finds a newline sooner than a search that needs setup.
const SHORT_BYTES: usize = 32;

/// Whether the first newline is the last byte.
#[inline]
fn is_one_line(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'\n' {
        at += 1;
    }
    at + 1 == bytes.len()
}

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

impl Decoder for LinesBatchCodec {
    type Item = Lines;
    type Error = LineError;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Lines>, LineError> {
        // After most batches there is nothing left.
        if src.is_empty() {
            return Ok(None);
        }
        // What a peer that waits for each reply sends. The general way would be fetched into the
        // processor's cache for it between two system calls.
        let len = src.len();
        if len <= SHORT_BYTES && len - 1 <= self.limit_bytes() && is_one_line(src) {
            self.scanned = 0;
            return Ok(Some(Lines::counted(take(src, len), 1)));
        }
        self.cut(src)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Lines>, LineError> {
        self.decode(src)
    }
}

impl LinesBatchCodec {
    #[inline(never)]
    fn cut(&mut self, src: &mut BytesMut) -> Result<Option<Lines>, LineError> {
        let scanned = (self.scanned as usize).min(src.len());
        let lines_max = self.limits.lines_max_for(src.len() - scanned);
        let Some(cut) = first_lines(&src[scanned..], lines_max) else {
            self.scanned = src.len() as u32;
            if src.len() > self.limit_bytes() {
                return Err(self.too_long());
            }
            self.limits.reserve_for_rest(src);
            return Ok(None);
        };
        let end = scanned + cut.end;
        let (good, lines) = match self.first_too_long(&src[..end]) {
            None => (end, cut.lines),
            Some(0) => return Err(self.too_long()),
            Some(start) => (start, count(&src[..start])),
        };
        let lines = Lines::counted(take(src, good), lines as u32);
        // The rest begins with the line that is too long, or with lines not examined, or holds no newline.
        self.scanned = if good == end && cut.all { src.len() as u32 } else { 0 };
        Ok(Some(lines))
    }

    #[cold]
    fn too_long(&self) -> LineError {
        LineError::TooLong { limit_bytes: self.limit_bytes() }
    }
}

impl Encoder<Lines> for LinesBatchCodec {
    type Error = LineError;

    /// Copies nothing if it need not: a batch that is the only owner of its memory *becomes* the empty
    /// output buffer.
    #[inline]
    fn encode(&mut self, lines: Lines, dst: &mut BytesMut) -> Result<(), LineError> {
        if !dst.is_empty() {
            dst.extend_from_slice(lines.as_bytes());
            return Ok(());
        }
        match lines.try_into_mut() {
            Ok(owned) => *dst = owned,
            Err(shared) => dst.extend_from_slice(&shared),
        }
        Ok(())
    }
}
