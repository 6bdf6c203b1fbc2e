//! The rest of the replies to a batch, made part by part as the loop asks for it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::Instant;

use crate::{BoxError, stats::LineResults, thread_context::block_pool::BLOCK_BYTES};

/// Bytes of replies after which a part goes to the sink. No further frame is answered while the sink is full.
pub(crate) const PART_BYTES: usize = BLOCK_BYTES;

/// Time after which a part goes to the sink, so that other connections run beside a service that never waits.
const PART_TIME: Duration = Duration::from_micros(250);

/// Frames between two readings of a [`PartClock`].
pub(crate) const FRAMES_UNMEASURED: u32 = 256;

/// Tells when a part took long enough. The first reading of the clock begins the time.
#[derive(Debug, Default)]
pub(crate) struct PartClock(Option<Instant>);

impl PartClock {
    /// Whether the part should go to the sink. *Costs*: a reading of the clock.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() >= PART_TIME
    }
}

/// The frames of a batch that their service has not answered yet.
///
/// A stream of parts that also knows how many frames are left: when a limit ends it, the loop answers these.
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
