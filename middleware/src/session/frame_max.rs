//! The limit that a session sets for the length of its frames.

use bytes::BytesMut;

use crate::protocol::{FrameLimits, Notice, Protocol};

/// The limit that a session set, and whether its batch and its transport still have another one.
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

    /// Sets the limit. Returns whether it has changed.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        // No codec allows a longer frame.
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

    /// Whether the limit has changed since the last call.
    #[inline]
    pub(super) const fn take_new(&mut self) -> bool {
        std::mem::replace(&mut self.is_new, false)
    }

    /// The limit, if it has changed since the last call: the caller sets it in the transport.
    #[inline]
    pub(super) const fn take_unsent(&mut self) -> Option<usize> {
        if std::mem::replace(&mut self.is_unsent, false) { Some(self.bytes()) } else { None }
    }

    /// Writes the protocol's notice if the first of `frames`, which was cut by another limit, is too long for this
    /// one. Returns whether it is. *Costs*: a pass over that frame.
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
