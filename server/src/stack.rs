//! The two stacks, as settings build them. Read it beside the picture in ARCHITECTURE.md.
//!
//! This is the only place where a setting becomes a layer.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder};
use tower::{Service, ServiceBuilder};
use towline_config::{
    self as config, FlushPolicy, Heartbeat, Overload, Settings, Timeouts, WorkloadKind,
};
use towline_middleware::{
    Batch, BoxError, ConcurrencyLimitLayer, DigestMode, Echo, ErrorReplyLayer, FramedTransport,
    FramingLayer, IntoResponse, LineError, LineLimits, LoadShed, MeterLayer, MeteredIo,
    ObserveLayer, Semaphore, Sha256Layer, TimeoutLayer,
    drain::{Signal, Timers, Watch},
    heartbeat::{Deadlines, HeartbeatLayer, HeartbeatTransport, PingWords},
    internal::LINES_MAX,
    protocol::{Lf, Protocol},
    push::{PushShard, WriteNow},
    rate::Throttle,
    serve::{self, Respond, Serve, Unserved},
    session::{SessionStack, StartTls},
    stats::{CloseReason, Stats},
};

use crate::live_config::{LiveConfig, Mitigation};

/// The parts of one shard's stacks. Parameters that a setting can change while connections are open
/// are live settings inside, which [`apply`](Self::apply) stores to.
#[derive(Debug, Clone)]
pub struct StackParts {
    stats: Arc<Stats>,
    heartbeat: HeartbeatLayer,
    /// Of any service: what the loops of this shard's connections share.
    serve: Serve<Echo>,
    connection: Arc<serve::ConnectionConfig>,
    lines: Arc<LineLimits>,
    timeout: TimeoutLayer,
    limit: ConcurrencyLimitLayer,
    sha256: Sha256Layer,
    pushes: PushShard,
    start_tls: Option<Arc<dyn StartTls>>,
    /// Shards that share the memory for buffers.
    shards: usize,
}

impl StackParts {
    /// The parts of one of `shards` shards. All shards share `permits`: the concurrency limit is the
    /// process's.
    pub fn new(
        config: &LiveConfig,
        shards: usize,
        stats: Arc<Stats>,
        permits: Arc<Semaphore>,
        drain: Watch,
        ping_words: &PingWords,
    ) -> Self {
        let connection: Arc<serve::ConnectionConfig> = Arc::default();
        let (timeout, limit) = (TimeoutLayer::new(None), ConcurrencyLimitLayer::new(permits));
        let serve = Serve::unboxed(Echo)
            .stats(stats.clone())
            .drain(drain)
            .config(connection.clone())
            .limits(SessionStack::new(stats.clone(), &timeout, &limit));
        let parts = Self {
            heartbeat: HeartbeatLayer::with_words(
                limits(&config.effective.settings, config.mitigation),
                stats.clone(),
                ping_words.clone(),
            ),
            timeout,
            limit,
            sha256: Sha256Layer::new(None, stats.clone()),
            pushes: PushShard::new(stats.clone()),
            start_tls: None,
            stats,
            serve,
            connection,
            lines: Arc::default(),
            shards,
        };
        parts.apply(config);
        parts
    }

    /// Allocates anew, on the calling thread, what every connection counts a reference of. Those of two
    /// shards would otherwise lie side by side, and each connection that opens on one would take a cache
    /// line from the batches of the other. Their settings are those of `config`.
    pub(crate) fn on_this_thread(mut self, config: &LiveConfig) -> Self {
        self.serve = self.serve.config(self.connection.clone());
        self.lines = Arc::default();
        self.apply(config);
        self
    }

    /// Stores every live setting. Called on the thread whose connections load them, between two polls
    /// of its tasks, so that no line meets half of a change. Returns whether deadlines changed, so that
    /// parked connections must be woken.
    pub fn apply(&self, config: &LiveConfig) -> bool {
        let (settings, mitigation) = (&config.effective.settings, config.mitigation);
        self.connection.set_write_policy(match settings.flush.policy {
            FlushPolicy::Line => serve::WritePolicy::Every(NonZeroU32::MIN),
            FlushPolicy::Every(lines) => serve::WritePolicy::Every(lines),
            _ => serve::WritePolicy::Auto,
        });
        self.connection.set_output_bytes_max(settings.limits.output_bytes);
        self.connection
            .set_buffered_bytes_max(held_bytes_max(config.buffer_limit_bytes, self.shards));
        self.connection.set_eviction_bytes(config.eviction_bytes(self.shards));
        self.connection.set_linger(settings.timeouts.linger);
        self.connection.set_half_close(settings.timeouts.half_close);
        self.pushes.set_connection_bytes(settings.push.connection_bytes);
        self.pushes.set_shard_bytes(settings.push.shard_bytes);
        self.pushes.set_at_once(settings.push.at_once.get() as usize);
        self.pushes.set_memory_bytes(config.eviction_bytes(self.shards));
        self.timeout.set_timeout(settings.timeouts.request);
        self.limit.set_load_shed(match settings.limits.overload {
            _ if mitigation.sheds => LoadShed::Always,
            Overload::Shed => LoadShed::WhenFull,
            _ => LoadShed::Off,
        });
        self.lines.set_bytes(settings.limits.line_bytes);
        let (digest, lines_max) = match (settings.workload.kind, settings.workload.digest) {
            (WorkloadKind::Sha256, config::Digest::Discard) => {
                (Some(DigestMode::Discard), LINES_MAX)
            }
            (WorkloadKind::Sha256, _) => (Some(DigestMode::Reply), DIGEST_LINES_MAX),
            _ => (None, LINES_MAX),
        };
        self.sha256.set_digest(digest);
        // A batch waits as a whole: of a rate by lines it has no more than a second's worth.
        let rate = settings.limits.lines_per_ip.map_or(u32::MAX, NonZeroU32::get);
        self.lines.set_lines(lines_max.min(rate));
        self.connection.set_throttles(settings.limits.has_source_rates());
        let limits = limits(settings, mitigation);
        let changed = limits != self.heartbeat.deadlines();
        if changed {
            self.heartbeat.set_deadlines(limits);
        }
        changed
    }

    /// Keeps the clock of this shard's deadlines, which excludes time in which the process was
    /// suspended.
    pub fn run_watchdog(&self) -> impl Future<Output = ()> + Send + use<> {
        self.heartbeat.clone().run_watchdog()
    }

    /// This shard's part of what the kernel's buffers of all connections should take at most, which is as
    /// much as `limits.buffer_bytes`.
    pub(crate) fn kernel_bytes(&self, config: &LiveConfig) -> u64 {
        config.buffer_limit_bytes / self.shards.max(1) as u64
    }

    /// What wakes this shard's connections at their deadlines.
    pub fn timers(&self, signal: &Signal) -> Timers {
        signal.timers(self.stats.clock())
    }

    /// Has sessions start TLS by `start_tls`, if there is any.
    #[cfg(feature = "tls")]
    pub(crate) fn start_tls(self, start_tls: Option<Arc<dyn StartTls>>) -> Self {
        Self { start_tls, ..self }
    }

    /// What surrounds the sessions of this shard.
    pub(crate) fn sessions(&self) -> SessionStack {
        self.pushes.export();
        let stack = SessionStack::new(self.stats.clone(), &self.timeout, &self.limit)
            .pushes(self.pushes.clone());
        match &self.start_tls {
            Some(start_tls) => stack.start_tls(start_tls.clone()),
            None => stack,
        }
    }

    /// Has what is pushed written without the tasks of the connections: see [`PushShard::set_write_now`].
    pub(crate) fn write_pushes_now(&self, write_now: WriteNow) {
        self.pushes.set_write_now(write_now);
    }

    /// Gives what is pushed to the connections of this shard.
    pub(crate) fn run_pushes(&self) -> impl Future<Output = ()> + Send + use<> {
        self.pushes.clone().run()
    }

    /// Has the connections of an address keep to the rates that `throttle` knows.
    pub(crate) fn throttle(self, throttle: Arc<dyn Throttle>) -> Self {
        Self { serve: self.serve.throttle(throttle), ..self }
    }

    /// What is counted on this shard.
    pub(crate) const fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Counts a connection as open, and lists it, before it is served.
    pub(crate) fn unserved(&self) -> Unserved {
        self.serve.unserved()
    }
}

/// Lines of a batch where a short line has a long reply: 65 bytes per digest are one block of replies,
/// which a connection holds until all of them are hashed.
const DIGEST_LINES_MAX: u32 = 1024;

/// Unsent bytes of a shard above which a connection with unsent replies stops reading: half of the
/// shard's equal part of the memory for buffers.
///
/// The other half is for the batch of 8 KiB that each connection may still have in service then: a
/// thousand of them in the smallest limit that `auto` gives, 16 MiB.
fn held_bytes_max(buffer_limit_bytes: u64, shards: usize) -> usize {
    usize::try_from(buffer_limit_bytes / 2).unwrap_or(usize::MAX) / shards.max(1)
}

/// The deadlines of a connection under `mitigation`.
fn limits(settings: &Settings, mitigation: Mitigation) -> Deadlines {
    let Timeouts { idle, line, write, .. } = settings.timeouts;
    let Heartbeat { interval, timeout, .. } = settings.heartbeat;
    let shrunk = |timeout: Duration, tenths| timeout / 10 * tenths;
    // A client that answers its pings is never closed as idle because a server is full: it sends a
    // line once per interval, with its jitter of a tenth, and within its time to answer.
    let heard_of = interval.map_or(Duration::ZERO, |interval| interval / 10 * 11 + timeout);
    Deadlines::new()
        .heartbeat(interval, timeout)
        .idle(idle.map(|idle| shrunk(idle, mitigation.idle_tenths).max(idle.min(heard_of))))
        .line(line.map(|line| shrunk(line, mitigation.held_tenths)))
        .write(write.map(|write| shrunk(write, mitigation.held_tenths)))
}

/// A service that the line stack can be built around: its errors are boxed, its futures can be moved.
pub trait FrameService<P: Protocol = Lf>:
    Service<
        Batch<P>,
        Response: IntoResponse<Protocol = P>,
        Error = BoxError,
        Future: Send + Unpin + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S, P: Protocol> FrameService<P> for S where
    S: Service<
            Batch<P>,
            Response: IntoResponse<Protocol = P>,
            Error = BoxError,
            Future: Send + Unpin + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// What answers the batches of a connection on a shard: a [`FrameService`], or a session.
pub trait Responder<P: Protocol>: Respond<P, Call: Send + 'static> + Send + 'static {}

impl<S, P: Protocol> Responder<P> for S where S: Respond<P, Call: Send + 'static> + Send + 'static {}

/// A codec that the connection stack can be built around.
pub(crate) trait FrameCodec<P: Protocol>:
    Decoder<Item = Batch<P>, Error = LineError>
    + Encoder<Batch<P>, Error = LineError>
    + Unpin
    + Send
    + 'static
{
}

impl<C, P: Protocol> FrameCodec<P> for C where
    C: Decoder<Item = Batch<P>, Error = LineError>
        + Encoder<Batch<P>, Error = LineError>
        + Unpin
        + Send
        + 'static
{
}

/// The workload that the settings name: the innermost service of the line stack.
pub(crate) fn workload(parts: &StackParts) -> impl FrameService + use<> {
    ServiceBuilder::new().layer(parts.sha256.clone()).service(Echo)
}

/// The line stack around the workload that the settings name.
pub fn configured(parts: &StackParts) -> impl FrameService + use<> {
    line_stack(parts, workload(parts))
}

/// The line stack, outside in: the order in which a batch travels. Every layer takes and returns batches.
pub(crate) fn line_stack<S, P>(parts: &StackParts, workload: S) -> impl FrameService<P> + use<S, P>
where
    S: FrameService<P>,
    P: Protocol,
{
    let StackParts { stats, timeout, limit, .. } = parts;

    ServiceBuilder::new()
        // Errors that a client can act on become replies; the others end the connection.
        .layer(ErrorReplyLayer::new())
        // Below the replies, so that errors are counted by kind.
        .layer(ObserveLayer::new(stats.clone()))
        // Outside of the limit, so that the wait for a permit counts: a timeout begins with the call,
        // and the permit is acquired inside it, with the batch in hand. An idle connection holds none.
        .layer(timeout.clone())
        .layer(limit.clone())
        .service(workload)
}

/// A connection as its stack makes it.
pub(crate) type ServedConnection<Io, Codec, S, P> =
    serve::Connection<HeartbeatTransport<FramedTransport<MeteredIo<Io>, Codec>>, S, P>;

/// The connection stack, from the socket inwards. Each layer changes the type of the connection. `opened` has the
/// entries of a connection that is counted and listed already.
pub(crate) fn connection_stack<Io, Codec, S, P>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> Codec,
    responder: S,
    opened: Option<Unserved>,
) -> impl Service<
    Io,
    Response = CloseReason,
    Error = BoxError,
    Future = ServedConnection<Io, Codec, S, P>,
> + use<Io, Codec, S, P>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Codec: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    let StackParts { stats, heartbeat, serve, lines, .. } = parts;

    ServiceBuilder::new()
        // TcpStream → MeteredIo: bytes, below framing.
        .layer(MeterLayer::new(stats.clone()))
        // MeteredIo → FramedTransport: batches; buffers are borrowed only while they are full.
        .layer(FramingLayer::new(codec, lines.clone()))
        // FramedTransport → HeartbeatTransport: ping, dead peer, slow line, stuck write.
        .layer(heartbeat.clone())
        // The loop, until the connection ends.
        .service(serve.one(responder).of(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn fault_17_half_of_the_memory_is_shared_out_evenly_among_the_shards() {
        const MIB: usize = 1 << 20;
        assert_eq!(held_bytes_max(16 << 20, 1), 8 * MIB);
        assert_eq!(held_bytes_max(16 << 20, 4), 2 * MIB);
        assert_eq!(held_bytes_max(u64::MAX, 1), usize::MAX / 2);
    }

    #[test]
    fn fault_17_shrunk_timeouts_spare_peers_that_answer_their_pings() {
        let mut settings = Settings::default();
        let mitigation = Mitigation { idle_tenths: 1, held_tenths: 3, ..Mitigation::NONE };
        settings.timeouts.line = Some(MINUTE);
        settings.timeouts.write = Some(10 * MINUTE);
        settings.timeouts.idle = Some(5 * MINUTE);
        let shrunk = limits(&settings, mitigation);
        assert_eq!((shrunk.line, shrunk.write), (Some(MINUTE * 3 / 10), Some(3 * MINUTE)));
        assert_eq!(shrunk.idle, Some(Duration::from_secs(33 + 10)));
        // A timeout shorter than the heartbeat is meant to close such clients.
        settings.timeouts.idle = Some(Duration::from_secs(20));
        assert_eq!(limits(&settings, mitigation).idle, settings.timeouts.idle);
        settings.heartbeat.interval = None;
        assert_eq!(limits(&settings, mitigation).idle, Some(Duration::from_secs(2)));
        // An idle connection holds no buffer, so without a timeout closing it would free nothing.
        settings.timeouts.idle = None;
        assert_eq!(limits(&settings, mitigation).idle, None);
    }
}
