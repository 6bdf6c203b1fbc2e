use std::{sync::Arc, time::Duration};

use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;
use towline_middleware::{
    Batch, BoxError, ConcurrencyLimit, ConcurrencyLimitLayer, ErrorReply, ErrorReplyLayer,
    FramedTransport, LineError, Observe, ObserveLayer, Timeout, TimeoutLayer,
    protocol::Protocol,
    serve::{Serve, WritePolicy},
    stats::{CloseReason, Stats},
};

use crate::FaultyIo;

/// The line stack of the server around `workload`: the layers that `server/src/stack.rs` has, in its
/// order.
pub fn line_stack<S>(
    stats: &Arc<Stats>,
    timeout: Duration,
    limit: ConcurrencyLimitLayer,
    workload: S,
) -> ErrorReply<Observe<Timeout<ConcurrencyLimit<S>>>> {
    tower::ServiceBuilder::new()
        .layer(ErrorReplyLayer::new())
        .layer(ObserveLayer::new(stats.clone()))
        .layer(TimeoutLayer::new(timeout))
        .layer(limit)
        .service(workload)
}

/// Runs a future to its end, on a clock that moves only when every task waits.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// Serves one connection to its end: why it ended, and what its client received.
pub fn serve<C, S, P>(
    io: FaultyIo,
    codec: C,
    service: S,
    policy: WritePolicy,
) -> (CloseReason, Vec<u8>)
where
    C: Decoder<Item = Batch<P>, Error = LineError>
        + Encoder<Batch<P>, Error = LineError>
        + Unpin
        + 'static,
    S: Service<Batch<P>, Response = Batch<P>> + Clone,
    P: Protocol,
    S::Error: Into<BoxError>,
{
    let record = io.record();
    let mut serve = Serve::new(service).write_policy(policy);
    let ended = block_on(async { serve.call(FramedTransport::new(io, codec)).await });
    (ended.unwrap_or(CloseReason::ServiceError), record.output())
}

/// [`WritePolicy::Every`] of `lines`.
pub fn every(lines: u32) -> WritePolicy {
    WritePolicy::Every(lines.try_into().unwrap())
}

/// Fails unless there was one connection, which ended for `reason` and holds nothing.
#[track_caller]
pub fn assert_closed_once(stats: &Stats, reason: CloseReason) {
    let read = stats.states.snapshot();
    let mut closed = [0; CloseReason::ALL.len()];
    closed[reason as usize] = 1;
    assert_eq!((read.accepted, read.closed, read.open()), (1, closed, 0), "expected {reason:?}");
    assert_eq!((stats.read_buffer_bytes.get(), stats.write_buffer_bytes.get()), (0, 0));
}
