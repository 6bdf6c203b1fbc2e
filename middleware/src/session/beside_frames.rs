//! What the connection of a session carries beside frames: bodies, and TLS from the middle on.

use bytes::{Bytes, BytesMut};

use super::{
    Action, ActionOf, Body, Secure, Session,
    body::{BodyCut, Cut},
    running::{Running, SessionCall},
};
use crate::{
    protocol::{Notice, Protocol},
    push::Fact,
    response::sealed::Then,
    stats::CloseReason,
};

impl<S: Session> SessionCall<S> {
    /// Takes the bytes of the batch that no frame was cut from.
    pub(super) fn take_rest(&mut self) -> Bytes {
        let rest = Bytes::copy_from_slice(&self.batch.as_bytes()[self.at..]);
        (self.at, self.reframes) = (self.batch.as_bytes().len(), false);
        rest
    }
}

impl<S: Session> Running<S> {
    /// Begins TLS. Returns how the call ends, unless the server has none.
    #[cold]
    pub(super) fn begin_tls(
        &mut self,
        call: &mut SessionCall<S>,
        secure: &Secure<S::Protocol, S>,
        out: &mut BytesMut,
    ) -> Option<Then> {
        let tls = self.stack.tls()?.clone();
        self.secured = Some(secure.0.secured);
        let sent_ahead = !call.take_rest().is_empty();
        if !sent_ahead {
            out.extend_from_slice(&secure.0.said);
        }
        Some(Then::Secure { tls, sent_ahead })
    }

    /// The call that tells the session that its connection is encrypted.
    pub(super) fn secured(&mut self, fact: Option<Fact>) -> Option<SessionCall<S>> {
        if let Some(fact) = fact {
            self.conn.set_fact(fact);
        }
        self.secured.take().map(|secured| SessionCall::hook(secured, None))
    }

    /// Begins a body. Returns how the call ends, unless the body is empty.
    #[cold]
    pub(super) fn begin_body(&mut self, call: &mut SessionCall<S>, body: Body) -> Option<Then> {
        let cut = BodyCut::new(body);
        if cut.is_over() {
            self.body = None;
            call.first = Some(|session, cx| session.on_body(&[], true, cx));
            return None;
        }
        self.body = Some(Box::new(cut));
        Some(Then::Reframe { rest: call.take_rest(), raw: true })
    }

    /// Gives the session the next piece of a body. Fails with how the call ends if the body is too long; behind the
    /// last piece what is left of the batch is cut into frames.
    #[cold]
    pub(super) fn take_piece(
        &mut self,
        call: &mut SessionCall<S>,
        out: &mut BytesMut,
    ) -> Result<ActionOf<S>, Then> {
        let Some(body) = &mut self.body else { return Ok(Action::Continue) };
        match body.cut(&call.batch.as_bytes()[call.at..]) {
            Cut::Piece { piece, last, taken } => {
                if last {
                    self.body = None;
                }
                let action = match piece.is_empty() && !last {
                    true => Action::Continue,
                    false => self.call(out, |session, cx| session.on_body(&piece, last, cx)),
                };
                (call.at, call.reframes) = (call.at + taken, last);
                Ok(action)
            }
            Cut::TooLong { limit_bytes } => {
                S::Protocol::notice(&Notice::TooLong { limit_bytes }, out);
                Err(Then::Close(CloseReason::LineTooLong))
            }
        }
    }
}
