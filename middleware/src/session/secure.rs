//! TLS in the middle of a connection.

use std::{
    any::Any,
    fmt, io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;

use super::{Action, ActionOf, Cx, Session};
use crate::{
    push::Fact,
    reply::{Message, Out, Replies, ReplyError},
};

/// A session whose connection can go over to TLS in the middle, as STARTTLS of SMTP does.
///
/// ```
/// use towline_middleware::{
///     protocol::CrLf,
///     session::{Action, ActionOf, Cx, FrameOf, Session, Upgrade},
/// };
///
/// struct Mail {
///     greeted_as: Option<Vec<u8>>,
/// }
///
/// impl Session for Mail {
///     type Protocol = CrLf;
///
///     fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
///         match line {
///             b"STARTTLS" => cx.secure("220 go ahead"),
///             line => {
///                 self.greeted_as = Some(line.to_vec());
///                 cx.reply("250 hello")
///             }
///         }
///     }
/// }
///
/// impl Upgrade for Mail {
///     fn on_secured(&mut self, _: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
///         self.greeted_as = None;
///         Action::Continue
///     }
/// }
/// ```
pub trait Upgrade: Session {
    /// The connection is encrypted from here on, and what is known of its peer by that is known to [`Cx::conn`]. What came in the clear may be of any sender on the way, and must
    /// not be believed any more (RFC 3207, section 4.2): the session forgets it here. That is why there is no default.
    fn on_secured(&mut self, cx: &mut Cx<'_, Self::Protocol>) -> ActionOf<Self>;
}

/// That a connection goes over to TLS. Made by [`Cx::secure`].
pub struct Secure<P: Replies, S>(pub(super) Box<Start<P, S>>);

/// In a box, so that an [`Action`] returns in two registers.
pub(super) struct Start<P: Replies, S> {
    pub(super) secured: Secured<P, S>,
    /// The last reply in the clear. It is not said to a peer that has sent more already.
    pub(super) said: BytesMut,
}

/// Tells the session that its connection is encrypted.
pub(super) type Secured<P, S> = fn(&mut S, &mut Cx<'_, P>) -> Action<P, S>;

impl<P: Replies, S> fmt::Debug for Secure<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").finish_non_exhaustive()
    }
}

impl<P: Replies> Cx<'_, P> {
    /// Says `reply`, and returns that the connection goes over to TLS behind it; [`Upgrade::on_secured`] is called when
    /// the handshake is done. Without [TLS in the server](super::SessionStack::start_tls) an error is said instead, and the
    /// conversation goes on.
    ///
    /// A peer that has sent more than the command by then ends the connection, as
    /// [`CloseReason::TlsError`](crate::stats::CloseReason::TlsError), and nothing of that is served: it came in the
    /// clear, from any sender on the way, and would be taken for something that came under TLS (CVE-2011-0411).
    pub fn secure<S>(&mut self, reply: impl Message) -> Action<P, S>
    where
        S: Upgrade<Protocol = P>,
    {
        if self.starts_tls() {
            let mut said = BytesMut::new();
            Out::<P>::new(&mut said).write(reply);
            Action::Secure(Secure(Box::new(Start { secured: S::on_secured, said })))
        } else {
            self.reply(ReplyError::new("TLS is not configured"))
        }
    }
}

/// How the byte streams of connections go over to TLS.
pub trait StartTls: fmt::Debug + Send + Sync {
    /// Goes on with the handshake on `stream`, which is the byte stream of a connection as its transport has it. Behind
    /// it, the same stream is read and written over TLS. Returns what is known of the peer now, for
    /// [`Conn::fact`](crate::push::Conn::fact).
    ///
    /// # Errors
    /// When the handshake fails, or the stream is none that can go over to TLS.
    fn poll_start(
        &self,
        stream: &mut dyn Any,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Fact>>>;

    /// Time for the handshake.
    fn timeout(&self) -> Duration;
}
