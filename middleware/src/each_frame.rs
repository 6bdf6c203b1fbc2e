//! A function per frame, behind the batch interface.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tower_service::Service;

use crate::{
    Batch, BoxError, Response,
    batch::take_frame,
    protocol::{Lf, Protocol},
    reply::{Out, Replies},
    rest::{FRAMES_UNMEASURED, PART_BYTES, Part, PartClock, Rest},
    stats::LineResults,
    thread_context::block_pool,
};

/// Serves each line with `function`, which writes its replies: the shortest way to write a protocol.
///
/// *Does*: calls `function` for each line of a batch, in order, with the line and an [`Out`] for no, one or many
/// replies. *Does not*: wait, keep state of a connection, or end one: a [session](crate::session) does. *Goes*:
/// innermost in the line stack. *Costs*: under 10 ns a line beside what `function` does; no allocation for a
/// batch whose replies fit one part.
///
/// What `function` changes must be shared, because all connections on all threads call it: an atomic or a lock.
/// A closure that changes a variable of its own does not compile.
///
/// Replies go to the peer in parts of 64 KiB, and the next part is made when the peer has taken enough of them.
/// So a peer makes the server hold no more than
/// [`output_bytes_max`](crate::serve::Serve::output_bytes_max) and one part, however short its lines and long
/// their replies are. A panic of `function` ends the connection.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use towline_middleware::{BoxError, LinesBatchCodec, drain::Watch, each_line, serve_connection};
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let lines = AtomicU64::new(0);
/// let number = each_line(move |line, out| {
///     let number = lines.fetch_add(1, Relaxed);
///     if !line.is_empty() {
///         out.write(format_args!("{number} {}", String::from_utf8_lossy(line)));
///     }
/// });
/// let (mut client, server) = tokio::io::duplex(64);
/// client.write_all(b"a\n\nb\n").await?;
/// client.shutdown().await?;
/// serve_connection(server, LinesBatchCodec::new(1024), number, Watch::never()).await?;
/// let mut said = String::new();
/// client.read_to_string(&mut said).await?;
/// assert_eq!(said, "0 a\n2 b\n");
/// # Ok(()) }
/// ```
pub fn each_line<F>(function: F) -> EachFrame<Lf, F>
where
    F: Fn(&[u8], &mut Out<'_, Lf>) + Send + Sync + 'static,
{
    EachFrame::new(function)
}

/// As [`each_line`], for the frames of any protocol: `each_frame::<Resp, _>(…)`.
///
/// ```
/// use tower::ServiceExt;
/// use towline_middleware::{Batch, each_frame, protocol::Resp};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), std::convert::Infallible> {
/// let verbs = each_frame::<Resp, _>(|args, out| out.text(args.verb()));
/// let reply = verbs.oneshot(Batch::new("*1\r\n$4\r\nPING\r\n").unwrap()).await?;
/// assert_eq!(reply.as_bytes(), b"$4\r\nPING\r\n");
/// # Ok(()) }
/// ```
pub fn each_frame<P, F>(function: F) -> EachFrame<P, F>
where
    P: Replies,
    F: Fn(P::Frame<'_>, &mut Out<'_, P>) + Send + Sync + 'static,
{
    EachFrame::new(function)
}

/// A service of batches that calls a function for each frame, made by [`each_line`] and [`each_frame`].
pub struct EachFrame<P, F> {
    function: Arc<F>,
    protocol: PhantomData<fn() -> P>,
}

impl<P, F> EachFrame<P, F> {
    fn new(function: F) -> Self {
        Self { function: Arc::new(function), protocol: PhantomData }
    }
}

// Not derived: that would require `Clone` of the protocol and of the function.
impl<P, F> Clone for EachFrame<P, F> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), protocol: PhantomData }
    }
}

impl<P, F> fmt::Debug for EachFrame<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachFrame").finish_non_exhaustive()
    }
}

impl<P, F> Service<Batch<P>> for EachFrame<P, F>
where
    P: Replies,
    F: Fn(P::Frame<'_>, &mut Out<'_, P>) + Send + Sync + 'static,
{
    type Response = Response<P>;
    type Error = Infallible;
    type Future = Ready<Result<Response<P>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch<P>) -> Self::Future {
        let bytes = batch.as_bytes();
        let mut out = block_pool::take_output(bytes.len());
        let (at, frames) = answer(&*self.function, bytes, &mut out);
        let replies = Batch::counted(out, frames);
        ready(Ok(if at == bytes.len() {
            // A line and its reply use two short blocks in turn, and allocate nothing; those of a flood use two
            // blocks of the pool.
            if let Ok(read) = batch.try_into_mut() {
                block_pool::put_output(read);
            }
            replies.into()
        } else {
            let left = (batch.count() as u32).saturating_sub(frames);
            let function = self.function.clone();
            Response::from(replies).rest(Box::pin(Remaining { function, batch, at, left }))
        }))
    }
}

/// Answers frames until a part is full. Returns the number of bytes and of frames that were answered.
#[inline]
fn answer<P, F>(function: &F, bytes: &[u8], out: &mut BytesMut) -> (usize, u32)
where
    P: Replies,
    F: Fn(P::Frame<'_>, &mut Out<'_, P>),
{
    let (mut rest, mut frames) = (bytes, 0);
    let mut clock = PartClock::default();
    while !rest.is_empty() && out.len() < PART_BYTES {
        let frame = take_frame::<P>(&mut rest);
        function(frame, &mut Out::new(out));
        frames += 1;
        if frames % FRAMES_UNMEASURED == 0 && clock.is_over() {
            break;
        }
    }
    (bytes.len() - rest.len(), frames)
}

/// The frames of a batch that are not answered yet.
struct Remaining<P: Protocol, F> {
    function: Arc<F>,
    batch: Batch<P>,
    /// Where the next frame begins.
    at: usize,
    left: u32,
}

// Nothing in it is pinned in place.
impl<P: Protocol, F> Unpin for Remaining<P, F> {}

impl<P, F> Rest for Remaining<P, F>
where
    P: Replies,
    F: Fn(P::Frame<'_>, &mut Out<'_, P>) + Send + Sync + 'static,
{
    fn poll_part(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BoxError>>> {
        let this = self.get_mut();
        let rest = &this.batch.as_bytes()[this.at..];
        if rest.is_empty() {
            return Poll::Ready(None);
        }
        let mut bytes = block_pool::take_output(rest.len());
        let (answered, ok) = answer(&*this.function, rest, &mut bytes);
        this.at += answered;
        this.left = this.left.saturating_sub(ok);
        let results = LineResults { ok, ..LineResults::default() };
        Poll::Ready(Some(Ok(Part { bytes, results })))
    }

    fn frames(&self) -> u32 {
        self.left
    }
}
