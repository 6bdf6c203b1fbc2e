use std::num::NonZeroU32;

/// When replies are written to the socket. Whatever the policy, nothing waits while the task parks:
/// a peer that sends nine lines and waits gets nine replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritePolicy {
    /// After each batch: what one read gave is answered by one write. Batching then follows the
    /// peer's own pipelining and adds no delay.
    Auto,
    /// After so many lines, and on the way to park. One is a write for each line: the article's
    /// baseline, and a thousand times dearer in a flood.
    Every(NonZeroU32),
}
