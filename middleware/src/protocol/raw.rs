use bytes::BytesMut;

use super::{Delimited, FrameError, FrameLimits, Notice, Protocol};

/// Bytes as they come: what was read is one frame.
///
/// *Accepts*: anything. A read of more than [`FrameLimits::frame_bytes`] is several frames, each in a batch
/// of its own. *Refuses*: nothing. *Writes*: no notices, and has no heartbeat, because every byte belongs to
/// the peers. *Costs*: nothing a byte.
///
/// Of the laws of [`Protocol`] the first holds for the bytes only, joined: where a frame ends depends on the
/// network. A service must not rely on it.
///
/// ```
/// use towline_middleware::{Batch, protocol::Raw};
///
/// let batch = Batch::<Raw>::new("any\nbytes").unwrap();
/// assert!(batch.frames().eq([b"any\nbytes"]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {}

impl Protocol for Raw {
    type Frame<'a> = &'a [u8];

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        // A limit of no bytes would end no frame ever.
        let whole = bytes.len().min(limits.frame_bytes.max(1));
        Ok(Delimited { whole, frames: u32::from(whole > 0), ..Delimited::default() })
    }

    #[inline]
    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        std::mem::take(bytes)
    }

    fn notice(_: &Notice<'_>, _: &mut BytesMut) {}
}
