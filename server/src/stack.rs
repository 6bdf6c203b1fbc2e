//! The two stacks, as settings build them. Read it beside the picture in ARCHITECTURE.md.
//!
//! This is the only place where a setting becomes a layer.

use std::{convert::Infallible, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::codec::{Decoder, Encoder};
use tower::{
    Service, ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer,
    load_shed::LoadShedLayer,
};
use towline_config::{Digest, FlushPolicy, Overload, Settings, WorkloadKind};
use towline_middleware::{
    BoxError, Echo, FramingLayer, LineError, Lines, LinesBatchCodec, MeterLayer, ObserveLayer,
    ReadyInCallLayer, ReplyOrCloseLayer, Sha256Layer, TimeoutLayer,
    drain::Watch,
    heartbeat::{HeartbeatLayer, Limits},
    serve::{self, Serve},
    stats::{CloseReason, Presence, Stats},
};

/// What the stacks of one shard are built from.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    stats: Arc<Stats>,
    permits: Arc<Semaphore>,
    drain: Watch,
    heartbeat: HeartbeatLayer,
}

impl Parts {
    /// `permits` is one for the process: the concurrency limit is global.
    pub(crate) fn new(
        settings: Arc<Settings>,
        stats: Arc<Stats>,
        permits: Arc<Semaphore>,
        drain: Watch,
    ) -> Self {
        let limits = Limits {
            heartbeat_interval: settings.heartbeat.interval,
            heartbeat_timeout: settings.heartbeat.timeout,
            idle: settings.timeouts.idle,
            line: settings.timeouts.line,
            write: settings.timeouts.write,
        };
        // Made once a shard and shared by its connections, which then carry one pointer to it.
        let heartbeat = HeartbeatLayer::new(limits, stats.clone());
        Self { settings, stats, permits, drain, heartbeat }
    }

    /// Enters a connection in the books.
    pub(crate) fn presence(&self) -> Presence {
        Presence::new(self.stats.clone())
    }
}

/// What a service must be to serve lines here.
pub(crate) trait LineService:
    Service<Lines, Response = Lines, Error = BoxError, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> LineService for S where
    S: Service<Lines, Response = Lines, Error = BoxError, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// What a codec must be to frame connections here.
pub(crate) trait LinesCodec:
    Decoder<Item = Lines, Error = LineError>
    + Encoder<Lines, Error = LineError>
    + Unpin
    + Send
    + 'static
{
}

impl<C> LinesCodec for C where
    C: Decoder<Item = Lines, Error = LineError>
        + Encoder<Lines, Error = LineError>
        + Unpin
        + Send
        + 'static
{
}

/// The codec of `framing = "batch"`. Where a short line has a long reply, batches are cut so that a
/// batch's reply stays near `limits.output_bytes`.
pub(crate) fn batch_codec(settings: &Settings) -> fn(usize) -> LinesBatchCodec {
    match (settings.workload.kind, settings.workload.digest) {
        // 65 bytes a digest: 260 KiB.
        (WorkloadKind::Sha256, Digest::Reply) => {
            |limit_bytes| LinesBatchCodec::new(limit_bytes).lines_max(4096)
        }
        _ => LinesBatchCodec::new,
    }
}

/// The workload that the settings name: the innermost service of the line stack.
pub(crate) fn workload(parts: &Parts) -> impl LineService + use<> {
    let workload = &parts.settings.workload;
    let digest = match workload.digest {
        Digest::Reply => towline_middleware::Digest::Reply,
        Digest::Discard => towline_middleware::Digest::Discard,
    };
    let sha256 = (workload.kind == WorkloadKind::Sha256)
        .then(|| Sha256Layer::new(digest, parts.stats.clone()));

    ServiceBuilder::new().option_layer(sha256).service(Echo)
}

/// The line stack around the workload that the settings name.
pub(crate) fn configured(parts: &Parts) -> impl LineService + use<> {
    line_stack(parts, workload(parts))
}

/// The line stack, outside in: the order in which a batch travels. Each layer leaves lines lines.
pub(crate) fn line_stack<S>(parts: &Parts, workload: S) -> impl LineService + use<S>
where
    S: LineService,
{
    let Parts { settings, stats, permits, .. } = parts;
    let shed = (settings.limits.overload == Overload::Shed).then(LoadShedLayer::new);

    ServiceBuilder::new()
        // Errors a peer can do something about become replies; the rest end the connection.
        .layer(ReplyOrCloseLayer)
        // Here errors are still errors, and are counted by kind.
        .layer(ObserveLayer::new(stats.clone()))
        // The wait for a permit counts: a timeout begins with the call, so readiness is asked for
        // inside the call, with the batch in hand. An idle connection holds no permit.
        .option_layer(settings.timeouts.request.map(TimeoutLayer::new))
        .layer(ReadyInCallLayer)
        .option_layer(shed)
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()))
        .service(workload)
}

/// The connection stack, from the socket inwards. Each layer changes the type of the connection.
pub(crate) fn connection_stack<Io, Codec, S>(
    parts: &Parts,
    codec: fn(usize) -> Codec,
    line_stack: S,
) -> impl Service<Io, Response = CloseReason, Error = Infallible, Future: Send + 'static>
+ use<Io, Codec, S>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Codec: LinesCodec,
    S: LineService,
{
    let Parts { settings, stats, drain, heartbeat, .. } = parts;
    let flush = match settings.flush.policy {
        FlushPolicy::Auto => serve::FlushPolicy::Auto,
        FlushPolicy::Line => serve::FlushPolicy::Every(std::num::NonZeroU32::MIN),
        FlushPolicy::Every(lines) => serve::FlushPolicy::Every(lines),
    };

    ServiceBuilder::new()
        // TcpStream → MeteredIo: bytes, below framing.
        .layer(MeterLayer::new(stats.clone()))
        // MeteredIo → Transport: lines; buffers are lent only while they are full.
        .layer(FramingLayer::new(codec, settings.limits.line_bytes))
        // Transport → HeartbeatTransport: ping, dead peer, slow line, stuck write.
        .layer(heartbeat.clone())
        // The loop, until the connection ends.
        .service(
            Serve::new(line_stack)
                .stats(stats.clone())
                .drain(drain.clone())
                .flush(flush)
                .output_bytes_max(settings.limits.output_bytes),
        )
}

/// Makes any service of lines a [`LineService`], by boxing its errors.
pub(crate) fn boxed_errors<S>(service: S) -> impl LineService + use<S>
where
    S: Service<Lines, Response = Lines, Future: Send + 'static> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
{
    service.map_err(Into::into)
}
