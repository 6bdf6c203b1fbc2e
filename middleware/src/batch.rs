//! A batch of frames: the unit of service.

use std::{fmt, marker::PhantomData};

use bytes::{Bytes, BytesMut};

use crate::protocol::{FrameLimits, Lf, Notice, Protocol};

/// A batch up to this size has memory of its own: one small allocation. A slice of the read block would
/// keep the whole block while the batch waits for a permit or in its service.
pub(crate) const SMALL_BYTES: usize = 4 * crate::KIB;

/// One or more whole frames of the protocol `P`, terminators included, contiguous in one [`Bytes`].
///
/// [`Lines`](crate::Lines) is the batch of the default protocol. Cheap to clone and to split: a batch of up
/// to 4 KiB is copied, a larger one shares the memory of the read. [`count`](Self::count) was taken when the
/// batch was cut and costs nothing.
///
/// A batch of more than 4 KiB, or an owned part of it such as a [`Line`](crate::Line), keeps the whole 64 KiB
/// read block alive.
///
/// ```
/// use towline_middleware::{Batch, protocol::Lf};
/// let mut batch = Batch::<Lf>::new("one\ntwo\n").unwrap();
/// assert_eq!(batch.count(), 2);
/// assert!(batch.frames().eq([b"one", b"two"]));
/// assert_eq!(batch.split_to(1).as_bytes(), b"one\n");
/// assert_eq!(batch.as_bytes(), b"two\n");
/// ```
pub struct Batch<P: Protocol = Lf> {
    memory: Memory,
    count: u32,
    protocol: PhantomData<fn() -> P>,
}

/// Where the bytes of a batch are.
#[derive(Clone)]
enum Memory {
    /// Not shared, so that they can become an output buffer as they are. The two conversions that
    /// [`Bytes`] would take cost as much as counting the line.
    Own(BytesMut),
    Shared(Bytes),
}

impl<P: Protocol> Batch<P> {
    /// A batch from bytes that are whole frames, of any length.
    ///
    /// Returns `None` if the bytes end in an unfinished frame, or are none. *Costs*: a pass over the bytes,
    /// as the protocol makes it; for lines by SIMD.
    pub fn new(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let found = P::delimit(&bytes, &FrameLimits::new(usize::MAX)).ok()?;
        (found.whole == bytes.len()).then(|| Self::reply(bytes, found.frames))
    }

    /// A batch of replies to `count` frames: bytes that are written as they are.
    ///
    /// They are not checked, because in many protocols a reply is no frame that a peer may send. A wrong
    /// `count` makes [`WritePolicy::Every`](crate::serve::WritePolicy::Every) write sooner or later than it
    /// says, and nothing else.
    ///
    /// ```
    /// use towline_middleware::Lines;
    /// assert_eq!(Lines::reply("OK\n", 1).count(), 1);
    /// ```
    pub fn reply(bytes: impl Into<Bytes>, count: u32) -> Self {
        Self { memory: Memory::Shared(bytes.into()), count, protocol: PhantomData }
    }

    /// A batch from bytes that are known to be `count` whole frames, or replies to as many.
    #[inline]
    pub(crate) fn counted(bytes: BytesMut, count: u32) -> Self {
        let memory = if bytes.len() <= SMALL_BYTES {
            Memory::Own(bytes)
        } else {
            Memory::Shared(bytes.freeze())
        };
        Self { memory, count, protocol: PhantomData }
    }

    /// What the server says by itself, `count` times over.
    #[cold]
    pub(crate) fn notice(notice: &Notice<'_>, count: u32) -> Self {
        let mut bytes = BytesMut::new();
        P::notice(notice, &mut bytes);
        if count > 1 {
            bytes = BytesMut::from(&bytes.repeat(count as usize)[..]);
        }
        Self::counted(bytes, count)
    }

    /// The number of frames.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All frames, terminators included.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Shared(bytes) => bytes,
        }
    }

    /// All frames, terminators included, without copying.
    pub fn into_bytes(self) -> Bytes {
        match self.memory {
            Memory::Own(bytes) => bytes.freeze(),
            Memory::Shared(bytes) => bytes,
        }
    }

    /// Converts into a writable buffer, or returns the shared `Bytes` if another handle exists.
    #[inline]
    pub(crate) fn try_into_mut(self) -> Result<BytesMut, Bytes> {
        match self.memory {
            Memory::Own(bytes) => Ok(bytes),
            Memory::Shared(bytes) => bytes.try_into_mut(),
        }
    }

    /// The frames, one after another, borrowed.
    pub fn frames(&self) -> Frames<'_, P> {
        Frames { rest: self.as_bytes(), protocol: PhantomData }
    }

    /// Splits off and returns the first `count` frames, or all if there are no more.
    ///
    /// *Costs*: a scan of these frames.
    #[must_use]
    pub fn split_to(&mut self, count: usize) -> Self {
        if count >= self.count() {
            return std::mem::take(self);
        }
        let mut frames = self.frames();
        frames.by_ref().take(count).for_each(drop);
        let end = self.as_bytes().len() - frames.rest.len();
        let memory = match &mut self.memory {
            Memory::Own(bytes) => Memory::Own(bytes.split_to(end)),
            Memory::Shared(bytes) => Memory::Shared(bytes.split_to(end)),
        };
        self.count -= count as u32;
        Self { memory, count: count as u32, protocol: PhantomData }
    }
}

// Derived, these would ask the same of the protocol.
impl<P: Protocol> Clone for Batch<P> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), count: self.count, protocol: PhantomData }
    }
}

impl<P: Protocol> Default for Batch<P> {
    #[inline]
    fn default() -> Self {
        Self { memory: Memory::Own(BytesMut::new()), count: 0, protocol: PhantomData }
    }
}

/// Batches are equal if their bytes are.
impl<P: Protocol> PartialEq for Batch<P> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<P: Protocol> Eq for Batch<P> {}

impl<P: Protocol> fmt::Debug for Batch<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} in \"{}\")", self.count, self.as_bytes().escape_ascii())
    }
}

/// The frames of a [`Batch`], made by [`Batch::frames`].
pub struct Frames<'a, P: Protocol> {
    rest: &'a [u8],
    protocol: PhantomData<fn() -> P>,
}

impl<'a, P: Protocol> Iterator for Frames<'a, P> {
    type Item = P::Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<P::Frame<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        Some(take_frame::<P>(&mut self.rest))
    }
}

/// Takes the first frame off `rest`, which is not empty.
///
/// A protocol that takes nothing off would give the same frame for ever: then all of `rest` is taken.
#[inline]
pub(crate) fn take_frame<'a, P: Protocol>(rest: &mut &'a [u8]) -> P::Frame<'a> {
    let before = rest.len();
    let frame = P::next(rest);
    if rest.len() >= before {
        *rest = &[];
    }
    frame
}

impl<P: Protocol> Clone for Frames<'_, P> {
    fn clone(&self) -> Self {
        Self { rest: self.rest, protocol: PhantomData }
    }
}

impl<P: Protocol> fmt::Debug for Frames<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames(\"{}\")", self.rest.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Delimited, FrameError};

    /// Breaks the law that `next` takes something off.
    enum Stuck {}

    impl Protocol for Stuck {
        type Frame<'a> = &'a [u8];

        fn delimit(bytes: &[u8], _: &FrameLimits) -> Result<Delimited, FrameError> {
            Ok(Delimited { whole: bytes.len(), frames: 1, ..Delimited::default() })
        }

        fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
            bytes
        }

        fn notice(_: &Notice<'_>, _: &mut BytesMut) {}
    }

    #[test]
    fn a_protocol_that_takes_nothing_off_ends_the_frames() {
        let batch = Batch::<Stuck>::new("abc").expect("whole by its own words");
        assert_eq!(batch.frames().collect::<Vec<_>>(), [b"abc"]);
    }

    #[test]
    fn a_notice_is_said_as_often_as_there_are_frames() {
        let batch = Batch::<Lf>::notice(&Notice::Timeout, 2);
        assert_eq!((batch.count(), batch.as_bytes()), (2, &b"ERR timeout\nERR timeout\n"[..]));
        assert_eq!(Batch::<Lf>::notice(&Notice::Ping, 1).as_bytes(), b"ping\n");
        assert!(Batch::<Stuck>::notice(&Notice::Ping, 1).as_bytes().is_empty());
    }
}
