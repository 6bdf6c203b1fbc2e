//! How a wire protocol is cut into frames, and what the server says by itself in it.

mod any_eol;
mod crlf;
mod each;
mod length;
mod lf;
mod line_with_body;
mod notice;
pub(crate) mod one_line;
mod raw;
mod resp;

use std::time::Duration;

#[doc(no_inline)]
pub use bytes::{Bytes, BytesMut};

pub use self::{
    any_eol::AnyEol,
    crlf::CrLf,
    each::{First, delimit_each},
    length::{BigEndian, ByteOrder, Length, LittleEndian},
    lf::Lf,
    line_with_body::{Head, LineWithBody},
    notice::Notice,
    raw::Raw,
    resp::Resp,
};

/// A wire protocol: where its frames end, and the server's own words in it.
///
/// A protocol is a type, not a value: what varies, such as the width of a length, is a parameter of the type.
/// [`Lf`] is the protocol of lines, and the default wherever one can be named.
///
/// *Does*: finds whole frames in what was read, takes them off one after another, and words the server's
/// notices. *Does not*: read, allocate, or keep state between calls; all functions are pure. *Costs*:
/// [`delimit`](Self::delimit) is called once a batch, [`next`](Self::next) once a frame, and only by a
/// service that wants single frames.
///
/// # Laws
/// The server relies on these for every input, whatever a peer sends:
/// 1. frames do not depend on how the bytes are cut into reads;
/// 2. [`Delimited::whole`] does not shrink when bytes are added behind;
/// 3. [`next`](Self::next) over the first `whole` bytes gives exactly [`Delimited::frames`] frames and ends
///    at their end;
/// 4. no further frame is whole before [`Delimited::wanted`] more bytes came in;
/// 5. no input panics, and no length in the input is trusted before the bytes are there;
/// 6. a frame above [`FrameLimits::frame_bytes`] is [`FrameError::TooLong`], at the latest when more bytes of
///    it than a longest frame has are there.
///
/// ```
/// use bytes::BytesMut;
/// use towline_middleware::protocol::{Delimited, FrameError, FrameLimits, Notice, Protocol};
///
/// /// Frames of one byte of length and as many bytes.
/// struct Short;
///
/// impl Protocol for Short {
///     type Frame<'a> = &'a [u8];
///
///     fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
///         let mut found = Delimited::default();
///         while found.frames < limits.frames && found.whole < bytes.len() {
///             let len = usize::from(bytes[found.whole]);
///             if len > limits.frame_bytes {
///                 // Frames in front of it are delivered first; it is the first one of the next call.
///                 if found.frames > 0 {
///                     break;
///                 }
///                 return Err(FrameError::TooLong { limit_bytes: limits.frame_bytes });
///             }
///             let there = bytes.len() - found.whole;
///             if there < 1 + len {
///                 found.wanted = 1 + len - there;
///                 break;
///             }
///             found.whole += 1 + len;
///             found.frames += 1;
///         }
///         Ok(found)
///     }
///
///     fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
///         let Some((&len, rest)) = bytes.split_first() else { return &[] };
///         let (frame, rest) = rest.split_at(rest.len().min(usize::from(len)));
///         *bytes = rest;
///         frame
///     }
///
///     fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
///         if let Notice::Timeout = notice {
///             out.extend_from_slice(b"\x07timeout");
///         }
///     }
/// }
///
/// let mut read: &[u8] = b"\x03one\x03two\x05thr";
/// let found = Short::delimit(read, &FrameLimits::new(64)).unwrap();
/// assert_eq!((found.whole, found.frames, found.wanted), (8, 2, 2));
/// assert_eq!((Short::next(&mut read), Short::next(&mut read)), (&b"one"[..], &b"two"[..]));
/// assert_eq!(Short::delimit(b"\x09", &FrameLimits::new(8)), Err(FrameError::TooLong { limit_bytes: 8 }));
/// ```
pub trait Protocol: Send + Sync + 'static {
    /// One frame, borrowed from its batch.
    type Frame<'a>: Copy;

    /// How long a call goes on after its peer has closed its sending side: `None` until it is done, zero not at
    /// all. A peer that only waits for its replies closes that side, as `printf '…' | nc` does, and a peer that is
    /// gone looks the same: the protocol knows which is likely. After this time the call is cancelled, and the
    /// connection ends as [`PeerEof`](crate::stats::CloseReason::PeerEof). A reset cancels it at once.
    ///
    /// A program overrides it by [`Serve::half_close`](crate::serve::Serve::half_close), or by
    /// `timeouts.half_close` of a server.
    ///
    /// Default: 500 ms.
    const HALF_CLOSE: Option<Duration> = Some(HALF_CLOSE);

    /// Whether a connection that begins as a TLS client does is closed, as
    /// [`UnexpectedTls`](crate::stats::CloseReason::UnexpectedTls): for protocols in which no peer says such a thing.
    /// Default: `false`; its bytes are taken as frames.
    const REFUSES_TLS: bool = false;

    /// Finds the whole frames at the beginning of `bytes`: at most [`FrameLimits::frames`], which is at least
    /// one.
    ///
    /// `bytes` begin at a frame, and are all that was read and not delivered yet.
    ///
    /// # Errors
    /// When the *first* frame is too long or cannot be one. An error ends the connection, so whole frames in
    /// front of a bad one are delivered first: they are the result, without the bad one, which is then
    /// the first of the next call.
    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError>;

    /// Takes the next frame off the front of `bytes`.
    ///
    /// Called with bytes that [`delimit`](Self::delimit) found whole, and with replies of a service, which
    /// may be anything: it never panics, and takes at least one byte unless `bytes` are empty.
    fn next<'a>(bytes: &mut &'a [u8]) -> Self::Frame<'a>;

    /// Appends what the server says by itself to `out`: whole frames, terminators included, or nothing
    /// where the protocol has no words for it.
    ///
    /// A protocol that says nothing for [`Notice::Ping`] has no heartbeat.
    fn notice(notice: &Notice<'_>, out: &mut BytesMut);

    /// Whether the protocol has a word for [`Notice::Ping`], and so can have a heartbeat. Asks
    /// [`notice`](Self::notice).
    fn has_ping() -> bool {
        let mut ping = BytesMut::new();
        Self::notice(&Notice::Ping, &mut ping);
        !ping.is_empty()
    }

    /// Whether `frame` does nothing but answer a ping. The first such frame after a ping is not given to
    /// the service. Default: `false`; any frame shows that the peer lives, so only a protocol whose peers
    /// answer in a frame of its own needs it.
    fn is_pong(frame: Self::Frame<'_>) -> bool {
        let _ = frame;
        false
    }

    /// Whether `bytes` are one whole frame of at most `frame_bytes`, nothing missing and nothing behind it.
    /// Default: `false`.
    ///
    /// A short way around [`delimit`](Self::delimit) for what a peer sends that waits for each reply, asked
    /// for reads of 1 to 32 bytes. `false` is always right and costs the long way.
    #[inline]
    fn is_one_frame(bytes: &[u8], frame_bytes: usize) -> bool {
        let _ = (bytes, frame_bytes);
        false
    }
}

/// Default for [`Protocol::HALF_CLOSE`], and for connections that are served without asking the protocol.
pub(crate) const HALF_CLOSE: Duration = Duration::from_millis(500);

/// What [`Protocol::delimit`] must keep to, and need not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Longest frame in bytes, as the protocol counts it; for lines without the terminator.
    pub frame_bytes: usize,
    /// Most frames of a batch, at least one.
    pub frames: u32,
    /// Bytes at the beginning in which no frame ends, by [`Delimited::scanned`] of the call before. Never more
    /// than there are.
    pub scanned: usize,
}

impl FrameLimits {
    /// Frames of at most `frame_bytes`, any number of them, nothing scanned.
    pub const fn new(frame_bytes: usize) -> Self {
        Self { frame_bytes, frames: u32::MAX, scanned: 0 }
    }
}

/// The whole frames at the beginning of some bytes, and what is known of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delimited {
    /// Bytes of the whole frames; 0 if there is none.
    pub whole: usize,
    /// Number of the whole frames.
    pub frames: u32,
    /// Bytes at the beginning of the rest in which no frame ends: the next call has them as
    /// [`FrameLimits::scanned`]. For protocols that search for an end. 0 is always right.
    pub scanned: usize,
    /// Bytes beyond the rest without which its first frame cannot be whole: there is no next call before they
    /// came in, or the peer has nothing more to send. For protocols that say their lengths. 0 is always right.
    pub wanted: usize,
}

/// Why bytes are not frames. It ends the connection, with a [`Notice`] of the same name as its last words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is longer than [`FrameLimits::frame_bytes`].
    #[error("frame longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit, as the protocol counts it.
        limit_bytes: usize,
    },
    /// No frame begins like this; the text says what is wrong.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
}
