//! How many replies of a connection may wait at once.

/// How many [`Deferred`](super::Deferred) replies of a connection wait at once, and in which order they are
/// written. [`Session::overlap`](super::Session::overlap) returns it; for commands
/// [`Router::overlap`](crate::router::Router::overlap) and
/// [`overlap_tagged`](crate::router::Router::overlap_tagged) set it.
///
/// *Does*: calls the frames behind a reply that waits, in their order, those of later reads as well, until the
/// number is reached. Each reply that waits has a permit and a timeout of its own. *Does not*: bound what
/// futures return; a connection holds as many of their values as replies may wait. *Costs*: about 500 bytes a
/// reply that waits, its future aside, and nothing while none does.
///
/// | | [`OFF`](Self::OFF) | [`ordered`](Self::ordered) | [`tagged`](Self::tagged) |
/// |---|---|---|---|
/// | frames behind one that waits | wait | are called | are called |
/// | replies are written | in the order of frames | in the order of frames | when they are done |
/// | [`Deferred::then`](super::Deferred::then) has its session back | before later frames | in the order of frames | when its future is done |
/// | frames behind a [`ReplyStream`](super::ReplyStream) | wait | wait | wait |
///
/// Replies to frames that are answered at once are held until their turn; while 64 KiB of them are, no further
/// frame is called. A close, of a frame or of [`Deferred::then`](super::Deferred::then), ends the calls: the
/// replies of frames in front of it are written, then the last words. With tags a close waits for everything
/// that was begun. Frames also wait for what [`on_open`](super::Session::on_open) defers.
///
/// ```
/// use towline_middleware::{
///     protocol::Lf,
///     session::{Action, ActionOf, Cx, Deferred, FrameOf, Overlap, Session},
/// };
///
/// # async fn load(key: String) -> String { key }
/// /// Loads keys: a slow one delays the replies behind it, and not their work.
/// struct Loader;
///
/// impl Session for Loader {
///     type Protocol = Lf;
///
///     fn overlap(&self) -> Overlap {
///         Overlap::ordered(16)
///     }
///
///     fn on_frame(&mut self, frame: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         Action::Deferred(Deferred::new(load(frame.escape_ascii().to_string())))
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    replies_max: u32,
    tagged: bool,
}

impl Overlap {
    /// Most replies of one connection that wait at once, whatever is asked for: about 512 KiB beside their
    /// futures.
    pub const MAX: u32 = 1024;

    /// One at a time: frames behind a reply that waits are called when it is written. The default.
    pub const OFF: Self = Self { replies_max: 1, tagged: false };

    /// Up to `replies` at once, written in the order of their frames. 0 is taken as 1, and more than
    /// [`MAX`](Self::MAX) as that.
    pub const fn ordered(replies: u32) -> Self {
        Self { replies_max: bounded(replies), tagged: false }
    }

    /// Up to `replies` at once, written when they are done: for protocols in which a reply names its frame, by
    /// a tag or a number. 0 is taken as 1, and more than [`MAX`](Self::MAX) as that.
    pub const fn tagged(replies: u32) -> Self {
        Self { replies_max: bounded(replies), tagged: true }
    }

    pub(super) const fn is_off(self) -> bool {
        self.replies_max == 1
    }

    pub(super) const fn replies_max(self) -> u32 {
        self.replies_max
    }

    pub(super) const fn is_tagged(self) -> bool {
        self.tagged
    }
}

impl Default for Overlap {
    fn default() -> Self {
        Self::OFF
    }
}

const fn bounded(replies: u32) -> u32 {
    match replies {
        0 => 1,
        1..=Overlap::MAX => replies,
        _ => Overlap::MAX,
    }
}
