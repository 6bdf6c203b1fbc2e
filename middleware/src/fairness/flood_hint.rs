/// Bytes of a batch that takes as long to serve and to answer as some wake-ups for a line.
const FLOOD_BYTES: usize = 16 * crate::KIB;

/// Whether a connection that was woken runs at once or joins the yield queue first.
///
/// A flooding peer's connection does not always yield: where it waits for its replies as well, or is
/// served less than it would send, it parks, and one poll of the I/O driver may wake hundreds of its
/// kind. A parked connection cannot know how much it will find. But one that did much since it parked
/// before mostly will again, and one that reads a line at a time will not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloodHint {
    did_much: bool,
    must_queue: bool,
}

impl FloodHint {
    /// Initial value, before anything was read.
    pub(crate) const NONE: Self = Self { did_much: false, must_queue: false };

    /// Records a batch of `bytes`.
    #[inline]
    pub(crate) const fn record_batch(&mut self, bytes: usize) {
        self.did_much |= bytes >= FLOOD_BYTES;
    }

    /// Records that a turn took long.
    #[inline]
    pub(crate) const fn record_long_turn(&mut self) {
        self.did_much = true;
    }

    /// Whether the connection must queue before it runs on.
    #[inline]
    pub(crate) const fn must_queue(self) -> bool {
        self.must_queue
    }

    /// Records that the connection parks, after a turn that took `long` or not. Until it waits for input
    /// again it stays what it was: where it waits for its service, or for its socket to take replies, one
    /// batch is served in several turns.
    #[inline]
    pub(crate) const fn park(&mut self, long: bool, for_input: bool) {
        self.must_queue = self.did_much | long;
        self.did_much = self.must_queue & !for_input;
    }

    /// Whether the connection must queue before it runs on; resets it.
    #[inline]
    pub(crate) const fn take_must_queue(&mut self) -> bool {
        std::mem::replace(&mut self.must_queue, false)
    }
}
