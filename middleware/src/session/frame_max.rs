//! How long the frames of a session may be, where it says so.

use bytes::BytesMut;

use crate::protocol::{FrameLimits, Notice, Protocol};

/// What a session said of its frames, and which of those that need to know it do not know it yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameMax {
    bytes: u32,
    /// The batch that is answered was cut by another limit.
    is_new: bool,
    /// The transport cuts by another limit.
    is_unsent: bool,
}

impl FrameMax {
    /// The limit of the codec.
    pub(super) const NONE: Self = Self { bytes: u32::MAX, is_new: false, is_unsent: false };

    /// Sets the limit. Returns whether it is another one.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        // Longer frames are beyond every limit of a codec.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let is_other = bytes != self.bytes;
        if is_other {
            *self = Self { bytes, is_new: true, is_unsent: true };
        }
        is_other
    }

    const fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// Whether the limit was changed since this was asked last.
    #[inline]
    pub(super) const fn take_new(&mut self) -> bool {
        std::mem::replace(&mut self.is_new, false)
    }

    /// The limit, if the transport does not know it. It does from now on.
    #[inline]
    pub(super) const fn take_unsent(&mut self) -> Option<usize> {
        if std::mem::replace(&mut self.is_unsent, false) { Some(self.bytes()) } else { None }
    }

    /// Says that the first of `frames`, which another limit allowed, is too long. Returns whether it is. *Costs*: a
    /// pass over that frame.
    #[cold]
    pub(super) fn refuse_first<P: Protocol>(self, frames: &[u8], out: &mut BytesMut) -> bool {
        let mut rest = frames;
        P::next(&mut rest);
        let first = &frames[..frames.len() - rest.len().min(frames.len())];
        // It is a whole frame, so it can be refused for nothing but its length.
        let is_longer = P::delimit(first, &FrameLimits::new(self.bytes())).is_err();
        if is_longer {
            P::notice(&Notice::TooLong { limit_bytes: self.bytes() }, out);
        }
        is_longer
    }
}
