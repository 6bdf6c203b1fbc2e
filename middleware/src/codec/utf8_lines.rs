use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LinesCodec, LinesCodecError};

use super::{
    LineLimits,
    client_hello::{Beginning, beginning},
};
use crate::{LineError, Lines, thread_context::block_pool};

/// tokio-util's `LinesCodec`, a line at a time, behind the batch interface.
///
/// Keeps that codec's contract: lines are UTF-8, a `\r` before the terminator is stripped, an unterminated
/// rest at the end of input is a line. *Costs*: a `String` and a UTF-8 check a line, some 15 times what
/// [`LinesBatchCodec`](super::LinesBatchCodec) costs.
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::Decoder;
/// use towline_middleware::Utf8LinesCodec;
///
/// let mut codec = Utf8LinesCodec::new(64 * 1024);
/// let mut read = BytesMut::from("one\r\ntwo");
/// assert_eq!(codec.decode(&mut read)?.unwrap().as_bytes(), b"one\n");
/// assert_eq!(codec.decode_eof(&mut read)?.unwrap().as_bytes(), b"two\n");
/// # Ok::<_, towline_middleware::LineError>(())
/// ```
#[derive(Debug)]
pub struct Utf8LinesCodec {
    limits: Arc<LineLimits>,
    codec: LinesCodec,
    /// An error that waits until the lines before it are delivered.
    failed: Option<Box<LineError>>,
    /// The beginning of the connection was not examined.
    unseen: bool,
}

impl Utf8LinesCodec {
    /// A codec for lines of at most `limit_bytes`, terminator excluded.
    pub fn new(limit_bytes: usize) -> Self {
        Self::shared(Arc::new(LineLimits::new(limit_bytes)))
    }

    /// A codec that shares `limits` with others, and loads them whenever bytes came in.
    pub fn shared(limits: Arc<LineLimits>) -> Self {
        let codec = LinesCodec::new_with_max_length(limits.bytes());
        Self { limits, codec, failed: None, unseen: true }
    }

    fn batch(
        &mut self,
        src: &mut BytesMut,
        decode: fn(&mut LinesCodec, &mut BytesMut) -> Result<Option<String>, LinesCodecError>,
    ) -> Result<Option<Lines>, LineError> {
        if let Some(error) = self.failed.take() {
            return Err(*error);
        }
        if self.unseen {
            match beginning(src) {
                Beginning::ClientHello => return Err(LineError::ClientHello),
                beginning => self.unseen = beginning == Beginning::Undecided,
            }
        }
        if self.limits.bytes() != self.codec.max_length() {
            // The old one remembers only how far it searched for a newline; the new one searches again.
            self.codec = LinesCodec::new_with_max_length(self.limits.bytes());
        }
        let mut batch = BytesMut::new();
        // As many as the batch codec decodes at most, for the same reason.
        for _ in 0..self.limits.lines_max_for(src.len()) {
            match decode(&mut self.codec, src) {
                Ok(Some(line)) => {
                    if batch.is_empty() {
                        batch = block_pool::take();
                    }
                    batch.extend_from_slice(line.as_bytes());
                    batch.put_u8(b'\n');
                }
                Ok(None) => break,
                Err(error) => {
                    let error = LineError::from_lines_codec(error, self.codec.max_length());
                    if batch.is_empty() {
                        return Err(error);
                    }
                    self.failed = Some(Box::new(error));
                    break;
                }
            }
        }
        Ok((!batch.is_empty()).then(|| Lines::from_terminated(batch)))
    }
}

impl Decoder for Utf8LinesCodec {
    type Item = Lines;
    type Error = LineError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Lines>, LineError> {
        self.batch(src, LinesCodec::decode)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Lines>, LineError> {
        self.batch(src, LinesCodec::decode_eof)
    }
}

impl Encoder<Lines> for Utf8LinesCodec {
    type Error = LineError;

    fn encode(&mut self, lines: Lines, dst: &mut BytesMut) -> Result<(), LineError> {
        if dst.capacity() == 0 {
            *dst = block_pool::take();
        }
        dst.reserve(lines.as_bytes().len());
        // One check for the whole batch: a newline is a boundary between characters.
        let text = std::str::from_utf8(lines.as_bytes()).map_err(|_invalid| LineError::NotUtf8)?;
        let limit_bytes = self.codec.max_length();
        for line in text.split_terminator('\n') {
            self.codec
                .encode(line, dst)
                .map_err(|error| LineError::from_lines_codec(error, limit_bytes))?;
        }
        if let Ok(block) = lines.try_into_mut() {
            block_pool::put(block);
        }
        Ok(())
    }
}
