//! What a session's method is called with.

use std::{fmt, time::Duration};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{Action, Conn, SessionStack, TimerChange, frame_max::FrameMax};
use crate::{
    protocol::Lf,
    reply::{IntoReply, Message, Out, Replies},
    stats::CommandResult,
};

/// A turn of a session: what it says goes here.
///
/// Replies are appended to one buffer, which is written when the frames of a read are answered, so saying
/// something costs no system call of its own.
///
/// ```
/// use std::time::Duration;
/// use towline_middleware::{
///     protocol::Lf,
///     session::{ActionOf, Cx, FrameOf, Session},
/// };
///
/// /// A peer must log in within ten seconds.
/// struct Login {
///     logged_in: bool,
/// }
///
/// impl Session for Login {
///     type Protocol = Lf;
///
///     fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         cx.set_timer(Duration::from_secs(10));
///         cx.write(format_args!("connection {}", cx.conn().id()));
///         cx.reply("password, please")
///     }
///
///     fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         if !self.logged_in && frame != b"open sesame" {
///             return cx.close("no");
///         }
///         self.logged_in = true;
///         cx.clear_timer();
///         cx.reply("yes")
///     }
///
///     fn on_timer(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         cx.close("too late")
///     }
/// }
/// ```
pub struct Cx<'a, P: Replies = Lf> {
    out: Out<'a, P>,
    conn: &'a Conn<P>,
    stack: &'a SessionStack,
    timer: &'a mut Option<TimerChange>,
    frame_max: &'a mut FrameMax,
    /// Set when the limit of frames changes: frames behind this one were cut by another limit, and are checked
    /// before they are called.
    stops: bool,
}

impl<'a, P: Replies> Cx<'a, P> {
    pub(super) fn new(
        out: &'a mut BytesMut,
        conn: &'a Conn<P>,
        stack: &'a SessionStack,
        timer: &'a mut Option<TimerChange>,
        frame_max: &'a mut FrameMax,
    ) -> Self {
        Self { out: Out::new(out), conn, stack, timer, frame_max, stops: false }
    }

    /// The connection.
    pub const fn conn(&self) -> &Conn<P> {
        self.conn
    }

    /// The time, to the beginning of this turn: some microseconds old. Reads the clock only where no metrics
    /// are counted.
    pub fn now(&self) -> Instant {
        let stats = self.stack.stats();
        stats.instant(stats.recent())
    }

    /// Bytes of replies that were said and not given to the connection.
    #[inline]
    pub(super) fn written(&mut self) -> usize {
        self.out.bytes().len()
    }

    /// Says `message`, and no more: what comes next is what the method returns.
    #[inline]
    pub fn write(&mut self, message: impl Message) {
        self.out.write(message);
    }

    /// Writes bytes as they are, terminator included.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.raw(bytes);
    }

    /// Says `reply`, and returns what comes next.
    #[inline]
    pub fn reply<S>(&mut self, reply: impl IntoReply<P, S>) -> Action<P, S> {
        reply.into_reply(&mut self.out)
    }

    /// Says `last`, and returns that the connection ends behind it.
    pub fn close<S>(&mut self, last: impl Message) -> Action<P, S> {
        self.out.write(last);
        Action::Close
    }

    /// Whether the reply to the command that was answered since the last `take_command_result` is an error.
    #[inline]
    pub(crate) const fn has_failed(&self) -> bool {
        self.out.has_failed()
    }

    /// The result of the command that was answered since the last call.
    #[inline]
    pub(crate) const fn take_command_result(&mut self) -> CommandResult {
        if self.out.take_failed() { CommandResult::Error } else { CommandResult::Ok }
    }

    /// Has [`Session::on_timer`](super::Session::on_timer) called once, after `wait`. The connection has one
    /// timer: a later call replaces an earlier one.
    pub const fn set_timer(&mut self, wait: Duration) {
        *self.timer = Some(TimerChange::Set(wait));
    }

    /// Clears the timer.
    pub const fn clear_timer(&mut self) {
        *self.timer = Some(TimerChange::Clear);
    }

    /// Limits the frames of this connection to `bytes`, as its protocol counts them, from the next frame on.
    /// Default: the limit of the codec, `limits.line_bytes` of a server, which is also the most: a limit of as
    /// many bytes or more is that one.
    ///
    /// A longer frame ends the connection as any that is too long does: after the replies to those before it,
    /// with the words of the protocol, as [`CloseReason::LineTooLong`](crate::stats::CloseReason::LineTooLong).
    /// Of an unfinished frame the server keeps no more than the limit, so a small limit before login bounds the
    /// memory that a peer can take before it is known. The limit also holds for frames behind this one that were
    /// read together with it. *Costs*: an allocation while the limit is below that of the codec.
    ///
    /// ```
    /// use towline_middleware::{protocol::Lf, session::{ActionOf, Cx, FrameOf, Session}};
    ///
    /// struct Greeter;
    ///
    /// impl Session for Greeter {
    ///     type Protocol = Lf;
    ///
    ///     fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
    ///         cx.frame_max(64); // enough for a name
    ///         cx.reply("your name?")
    ///     }
    ///
    ///     fn on_frame(&mut self, name: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
    ///         cx.frame_max(usize::MAX); // as long as the server allows
    ///         cx.reply(format_args!("hello {}", String::from_utf8_lossy(name)))
    ///     }
    /// }
    /// ```
    pub fn frame_max(&mut self, bytes: usize) {
        self.stops |= self.frame_max.set(bytes);
    }

    /// Whether [`secure`](Self::secure) goes over to TLS: the server has some for that.
    pub fn starts_tls(&self) -> bool {
        self.stack.tls().is_some()
    }

    /// Whether the next frame of the batch is checked before it is called.
    #[inline]
    pub(super) const fn stops(&self) -> bool {
        self.stops
    }
}

impl<P: Replies> fmt::Debug for Cx<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("conn", self.conn).finish_non_exhaustive()
    }
}
