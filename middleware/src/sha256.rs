//! SHA-256 of every line.

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use memchr::memchr;
use pin_project_lite::pin_project;
use sha2::Digest as _;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Lines,
    fairness::{self, Ticket},
    live_setting::{AtomicRepr, LiveSetting},
    macros::service_accessors,
    stats::Stats,
};

/// Bytes hashed before other connections run: some 40 µs with the instructions for it, 150 without.
const PIECE_BYTES: usize = 32 * 1024;

/// Lines hashed before other connections run: a short line costs a whole SHA-256 block, some 70 ns.
const PIECE_LINES: usize = 512;

/// Hex digits of a digest and a terminator.
const REPLY_BYTES: usize = 65;

/// Replies for which memory is reserved before the first line is hashed; further memory comes as digests
/// do. A reservation for a whole batch of short lines would be 33 times the batch.
const REPLIES_RESERVED_MAX: usize = 1024;

/// What [`Sha256`] does with the digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestMode {
    /// Each line is replaced by its digest in 64 lower-case hex digits.
    Reply,
    /// Digests are computed and dropped, and the lines go on unchanged.
    Discard,
}

impl AtomicRepr for Option<DigestMode> {
    fn to_bits(self) -> u64 {
        match self {
            None => 0,
            Some(DigestMode::Reply) => 1,
            Some(DigestMode::Discard) => 2,
        }
    }

    fn from_bits(bits: u64) -> Self {
        match bits {
            1 => Some(DigestMode::Reply),
            2 => Some(DigestMode::Discard),
            _ => None,
        }
    }
}

/// Hashes each line, without its terminator, on its way to the inner service.
///
/// *Does*: SHA-256 with the CPU's own instructions where it has them. A batch of more than 32 KiB
/// or 512 lines is hashed in pieces with a yield between them, a long line too, so that other connections
/// run. *Does not*: get interrupted by a timeout within a piece. *Goes*: innermost,
/// around the workload. *Costs*: what the hash costs, and a clock read before and after each piece; turned
/// off, a load and a branch a batch.
///
/// Made by [`Sha256Layer`], which has an example.
#[derive(Debug, Clone)]
pub struct Sha256<S> {
    inner: S,
    shared: Arc<Sha256State>,
}

impl<S> Sha256<S> {
    /// Hashes lines on their way to `inner`, does `digest` with each digest and counts in `stats`. With
    /// `None` nothing is hashed.
    pub fn new(inner: S, digest: impl Into<Option<DigestMode>>, stats: Arc<Stats>) -> Self {
        Self { inner, shared: Arc::new(Sha256State::new(digest.into(), stats)) }
    }

    service_accessors!();
}

/// What the services of one layer share.
#[derive(Debug)]
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
struct Sha256State {
    digest: LiveSetting<Option<DigestMode>>,
    stats: Arc<Stats>,
}

impl Sha256State {
    fn new(digest: Option<DigestMode>, stats: Arc<Stats>) -> Self {
        Self { digest: LiveSetting::new(digest), stats }
    }
}

impl<S> Service<Lines> for Sha256<S>
where
    S: Service<Lines> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, lines: Lines) -> Self::Future {
        // The service that was polled for readiness is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let Some(digest) = self.shared.digest.load() else {
            return ResponseFuture { state: State::Called { future: inner.call(lines) } };
        };
        let replies = match digest {
            DigestMode::Reply => {
                BytesMut::with_capacity(lines.count().min(REPLIES_RESERVED_MAX) * REPLY_BYTES)
            }
            DigestMode::Discard => BytesMut::new(),
        };
        let stats = self.shared.stats.clone();
        let hashing = Hashing {
            inner,
            digest,
            stats,
            lines,
            hashed_bytes: 0,
            begun: None,
            replies,
            ticket: Ticket::NONE,
        };
        ResponseFuture { state: State::Hashing { hashing: Box::new(hashing) } }
    }
}

/// A batch being hashed. BoxFuture, so that batches that are not do not carry its size.
#[derive(Debug)]
struct Hashing<S> {
    inner: S,
    digest: DigestMode,
    stats: Arc<Stats>,
    lines: Lines,
    hashed_bytes: usize,
    /// The state of a line that is longer than a piece.
    begun: Option<sha2::Sha256>,
    replies: BytesMut,
    /// The task's place in the yield queue.
    ticket: Ticket,
}

impl<S> Hashing<S> {
    /// Hashes a piece; returns whether it was the last.
    fn hash(&mut self) -> bool {
        let Self { digest, stats, lines, hashed_bytes, begun, replies, .. } = self;
        let started = stats.now();
        let hashed = hash_piece(&lines.as_bytes()[*hashed_bytes..], *digest, begun, replies);
        *hashed_bytes += hashed;
        stats.hashed_bytes.add(hashed as u64);
        stats.hash_nanos.add(stats.now().0.saturating_sub(started.0));
        *hashed_bytes == lines.as_bytes().len()
    }
}

pin_project! {
    /// Response future of [`Sha256`].
    #[derive(Debug)]
    pub struct ResponseFuture<S: Service<Lines>> {
        #[pin]
        state: State<S, S::Future>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<S, F> {
        Hashing { hashing: Box<Hashing<S>> },
        Called { #[pin] future: F },
    }
}

impl<S> Future for ResponseFuture<S>
where
    S: Service<Lines>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let called = match state.as_mut().project() {
                StateProj::Called { future } => return future.poll(cx),
                StateProj::Hashing { hashing } => {
                    // Something else may wake the task before its turn.
                    if fairness::waits(hashing.ticket) {
                        return Poll::Pending;
                    }
                    if !hashing.hash() {
                        // The next poll hashes the next piece.
                        hashing.ticket = fairness::enqueue_yield(cx);
                        return Poll::Pending;
                    }
                    let lines = match hashing.digest {
                        DigestMode::Discard => std::mem::take(&mut hashing.lines),
                        DigestMode::Reply => {
                            Lines::from_terminated(std::mem::take(&mut hashing.replies))
                        }
                    };
                    State::Called { future: hashing.inner.call(lines) }
                }
            };
            state.set(called);
        }
    }
}

/// Hashes up to a piece of lines, a long line in several pieces. Returns the bytes hashed.
///
/// `begun` is the state of a line of which a piece was hashed before.
fn hash_piece(
    lines: &[u8],
    digest: DigestMode,
    begun: &mut Option<sha2::Sha256>,
    replies: &mut BytesMut,
) -> usize {
    let mut done = 0;
    for _ in 0..PIECE_LINES {
        let rest = &lines[done..];
        let piece = &rest[..rest.len().min(PIECE_BYTES - done)];
        let Some(end) = memchr(b'\n', piece) else {
            if !piece.is_empty() {
                begun.get_or_insert_with(sha2::Sha256::new).update(piece);
            }
            return done + piece.len();
        };
        let line = &piece[..end];
        let hash = match begun.take() {
            Some(begun) => begun.chain_update(line).finalize(),
            None => sha2::Sha256::digest(line),
        };
        done += end + 1;
        match digest {
            DigestMode::Discard => {
                black_box(hash);
            }
            DigestMode::Reply => {
                let mut reply = [b'\n'; REPLY_BYTES];
                // A digest has 32 bytes and the slice takes twice that, so this cannot fail.
                let encoded = hex::encode_to_slice(hash, &mut reply[..REPLY_BYTES - 1]);
                debug_assert!(encoded.is_ok());
                replies.extend_from_slice(&reply);
            }
        }
    }
    done
}

/// Layer for [`Sha256`]. Clones share what becomes of the digests: changing it through one changes it for
/// the services built from any.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use towline_middleware::{BoxError, DigestMode, Echo, Lines, Sha256Layer, stats::Stats};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let layer = Sha256Layer::new(DigestMode::Reply, Stats::unobserved());
/// let service = ServiceBuilder::new().layer(layer).service(Echo);
/// let reply = service.oneshot(Lines::from_iter(["abc"])).await?;
/// assert!(reply.as_bytes().starts_with(b"ba7816bf8f01cfea"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Sha256Layer {
    shared: Arc<Sha256State>,
}

impl Sha256Layer {
    /// Does `digest` with each digest and counts in `stats`. With `None` nothing is hashed and batches go
    /// on to the inner service.
    pub fn new(digest: impl Into<Option<DigestMode>>, stats: Arc<Stats>) -> Self {
        Self { shared: Arc::new(Sha256State::new(digest.into(), stats)) }
    }

    /// Changes what becomes of the digests of batches to come, on open connections too.
    pub fn set_digest(&self, digest: Option<DigestMode>) {
        self.shared.digest.store(digest);
    }
}

impl<S> Layer<S> for Sha256Layer {
    type Service = Sha256<S>;

    fn layer(&self, inner: S) -> Sha256<S> {
        Sha256 { inner, shared: self.shared.clone() }
    }
}
