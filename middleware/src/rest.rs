//! The rest of the replies to a batch, which its service makes when it is asked.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;

use crate::{BoxError, stats::LineResults};

/// What a service that answers frame by frame has not answered yet.
///
/// A stream of parts, except that it knows how many frames are left: they are answered when a limit ends it.
pub trait Rest: Send {
    /// Makes the next part. `None` when all frames are answered.
    fn poll_part(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BoxError>>>;

    /// Frames that are not answered.
    fn frames(&self) -> u32;
}

pub(crate) type BoxRest = Pin<Box<dyn Rest>>;

/// Some of the replies to a batch.
#[derive(Debug)]
pub struct Part {
    pub(crate) bytes: BytesMut,
    pub(crate) results: LineResults,
}
