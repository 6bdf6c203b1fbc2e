//! The loop's step for a connection that goes over to TLS in the middle.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    task::coop::unconstrained,
    time::{Sleep, sleep},
};

use super::{
    connection::{Projection, Step, Transition},
    respond::Respond,
};
use crate::{
    Batch, Transport,
    protocol::{Notice, Protocol},
    session::StartTls,
    stats::CloseReason,
    transport::Phase,
};

/// A handshake.
pub(super) struct Securing {
    tls: Arc<dyn StartTls>,
    /// Set when it begins, which is when the reply before it is written.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a peer is told that sent more than the command before TLS began.
const SENT_AHEAD: &str = "commands behind the one that starts TLS";

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Sends what was said, and goes over to TLS behind it.
    #[cold]
    pub(super) fn start_tls(
        &mut self,
        said: Batch<P>,
        tls: Arc<dyn StartTls>,
        sent_ahead: bool,
    ) -> Transition {
        match self.transport.as_mut().start_send(said) {
            Ok(()) if sent_ahead => self.refuse_what_was_sent_ahead(),
            Ok(()) => self.go(Step::Securing(Box::new(Securing { tls, timer: None }))),
            Err(error) => self.refused(&error),
        }
    }

    /// Ends a connection whose peer sent something in the clear that would be served as if it had come under TLS.
    #[cold]
    fn refuse_what_was_sent_ahead(&mut self) -> Transition {
        match self.transport.as_mut().start_send(Batch::notice(&Notice::Malformed(SENT_AHEAD), 1)) {
            Ok(()) => self.go(Step::Closing(CloseReason::TlsError)),
            Err(error) => Transition::End((&error).into()),
        }
    }

    #[inline(never)]
    pub(super) fn secure(&mut self, cx: &mut Context<'_>) -> Transition {
        let Step::Securing(securing) = &mut *self.step else { return Transition::Continue };
        if securing.timer.is_none() {
            match self.transport.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Transition::End((&error).into()),
                Poll::Pending => return Transition::Park(Phase::Blocked),
            }
            if self.transport.as_mut().park().read_bytes > 0 {
                return self.refuse_what_was_sent_ahead();
            }
            securing.timer = Some(Box::pin(sleep(securing.tls.timeout())));
        }
        match self.transport.as_mut().poll_start_tls(cx, &*securing.tls) {
            Poll::Ready(Ok(fact)) => {
                *self.step = Step::OPEN;
                return self.call_hook(cx, |service| service.secured(fact));
            }
            // The alert that says why was sent by the handshake.
            Poll::Ready(Err(_)) => return Transition::End(CloseReason::TlsError),
            Poll::Pending => {}
        }
        if let Some(timer) = &mut securing.timer
            && pin!(unconstrained(timer.as_mut())).poll(cx).is_ready()
        {
            return Transition::End(CloseReason::HandshakeTimeout);
        }
        Transition::Park(Phase::Serving)
    }
}
