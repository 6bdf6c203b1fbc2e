//! The rest of a batch that its service answers frame by frame, within the limits of the connection's shard.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::shard_link::ShardLink;
use crate::{
    Batch, BoxError,
    exceeded::Exceeded,
    protocol::Protocol,
    response::sealed::Then,
    rest::{BoxRest, Part},
    session::LimitedWait,
    stats::{LineResult, LineResults},
};

/// A rest, and the limits within which it waits.
pub(super) enum LimitedRest {
    /// It does not wait, or waits without limits.
    Free(BoxRest),
    /// It waits, so it has a permit and a deadline until its next part.
    Waiting { call: Pin<Box<LimitedWait<NextPart>>>, frames: u32 },
    /// Its wait is over, and the next part waits until the peer takes those before it.
    Waited { waited: Waited, frames: u32 },
    /// All frames are answered.
    Done,
}

impl LimitedRest {
    /// The next part and what comes after it.
    pub(super) fn poll_part<P: Protocol>(
        &mut self,
        cx: &mut Context<'_>,
        shard: &ShardLink,
    ) -> Poll<Result<(Batch<P>, Then), BoxError>> {
        let part = loop {
            match self {
                Self::Free(rest) => match rest.as_mut().poll_part(cx) {
                    Poll::Ready(part) => break part.transpose(),
                    Poll::Pending => {
                        let Some(limits) = shard.limits() else { return Poll::Pending };
                        let frames = rest.frames();
                        let Self::Free(rest) = std::mem::replace(self, Self::Done) else {
                            continue;
                        };
                        let call = Box::pin(limits.limit_wait(NextPart(Some(rest))));
                        *self = Self::Waiting { call, frames };
                    }
                },
                Self::Waiting { .. } => {
                    self.poll_blocked(cx);
                    if let Self::Waiting { .. } = self {
                        return Poll::Pending;
                    }
                }
                Self::Waited { .. } => {
                    let Self::Waited { waited, frames } = std::mem::replace(self, Self::Done)
                    else {
                        continue;
                    };
                    match waited {
                        Ok((rest, part)) => {
                            *self = Self::Free(rest);
                            break part.transpose();
                        }
                        Err(error) => return Poll::Ready(unserved(error, frames, shard)),
                    }
                }
                Self::Done => break Ok(None),
            }
        };
        if part.is_err()
            && let Self::Free(rest) = self
        {
            LineResults::of(LineResult::Error, rest.frames()).count_in(shard.stats());
        }
        Poll::Ready(part.map(|part| match part {
            Some(Part { bytes, results }) => {
                results.count_in(shard.stats());
                (Batch::counted(bytes, results.frames().max(1)), Then::Call)
            }
            None => (Batch::default(), Then::Next),
        }))
    }

    /// Polls what it waits for, and keeps what that gives: one part at most. So a peer that takes no replies keeps
    /// no permit for longer than the wait takes.
    pub(super) fn poll_blocked(&mut self, cx: &mut Context<'_>) {
        if let Self::Waiting { call, frames } = self
            && let Poll::Ready(waited) = call.as_mut().poll(cx)
        {
            *self = Self::Waited { waited, frames: *frames };
        }
    }
}

/// What the wait for a part gave.
type Waited = Result<PartOf, BoxError>;

/// A rest, and its next part.
type PartOf = (BoxRest, Option<Result<Part, BoxError>>);

/// Answers frames that are not served because of a limit.
fn unserved<P: Protocol>(
    error: BoxError,
    frames: u32,
    shard: &ShardLink,
) -> Result<(Batch<P>, Then), BoxError> {
    let exceeded = Exceeded::of(&error);
    let result = exceeded.map_or(LineResult::Error, Exceeded::result);
    LineResults::of(result, frames).count_in(shard.stats());
    let exceeded = exceeded.ok_or(error)?;
    Ok((Batch::notice(&exceeded.notice(), frames), Then::Next))
}

/// The next part of a rest, as a future that gives the rest back.
pub(super) struct NextPart(Option<BoxRest>);

impl Future for NextPart {
    type Output = PartOf;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(rest) = &mut self.0 else { return Poll::Pending };
        let Poll::Ready(part) = rest.as_mut().poll_part(cx) else { return Poll::Pending };
        match self.0.take() {
            Some(rest) => Poll::Ready((rest, part)),
            None => Poll::Pending,
        }
    }
}
