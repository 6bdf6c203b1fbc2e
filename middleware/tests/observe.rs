//! Counts and durations of batches.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, ConcurrencyLimitLayer, ErrorReplyLayer, FramedTransport, Lines, LinesBatchCodec,
    ObserveLayer, ReadyPerCallLayer, Semaphore,
    serve::Serve,
    stats::{LineResult, Stats},
};
use towline_test_support::{End, FaultyIo, line_stack};

const SECOND: Duration = Duration::from_secs(1);

fn lines(lines: &'static str) -> Lines {
    Lines::new(lines).unwrap()
}

#[tokio::test(start_paused = true)]
async fn lines_are_counted_by_how_they_ended() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let workload = service_fn(|lines: Lines| async move {
        sleep(SECOND / 100).await;
        match lines.as_bytes() {
            b"fail\n" => Err(BoxError::from("no")),
            b"hang\n" => std::future::pending().await,
            _ => Ok(lines),
        }
    });
    let workload = ReadyPerCallLayer::new().layer(workload);
    let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(9)));
    let call = |request| {
        line_stack(&stats, SECOND, limit.clone(), workload.clone()).oneshot(lines(request))
    };
    call("a\nb\nc\n").await.unwrap();
    call("d\n").await.unwrap();
    assert_eq!(call("fail\n").await.unwrap_err().to_string(), "no");
    call("hang\n").await.unwrap();
    let mut cut = task::spawn(call("cut\noff\n"));
    assert_pending!(cut.poll());
    drop(cut);

    let processed = LineResult::ALL.map(|result| stats.lines_processed[result as usize].get());
    assert_eq!(processed, [4, 1, 0, 1], "ok, timeout, shed, error");
    assert_eq!((stats.lines_received.get(), stats.batches.get()), (8, 5));
    let durations = stats.batch_duration.snapshot();
    assert_eq!(durations.count(), 4, "a batch that was cut off has no duration");
    let seconds = durations.sum_nanos as f64 / 1e9;
    assert!((1.03..1.04).contains(&seconds), "{seconds}");
}

/// Neither do the replies for errors around it.
#[tokio::test]
async fn counting_needs_no_adapter_for_errors_that_can_be_boxed() {
    let service = ServiceBuilder::new()
        .layer(ErrorReplyLayer::new())
        .layer(ObserveLayer::new(Stats::unobserved()))
        .service(service_fn(async |lines| Ok::<_, Infallible>(lines)));
    assert_eq!(service.oneshot(lines("a\n")).await.unwrap(), lines("a\n"));
}

/// Most batches are timed by the clock that their connection reads when it parks. A batch that another
/// one follows before that is not charged with the time of the other.
#[tokio::test(start_paused = true)]
async fn a_batch_is_timed_without_the_batch_after_it() {
    // Three of them are one turn.
    const STEP: Duration = Duration::from_micros(20);
    let stats = Arc::new(Stats::new(Instant::now()));
    let slow = service_fn(|lines: Lines| {
        // The clock moves when this is first polled.
        assert_pending!(task::spawn(advance(STEP)).poll());
        std::future::ready(Ok::<_, BoxError>(lines))
    });
    let service = ObserveLayer::new(stats.clone()).layer(slow);
    let codec = LinesBatchCodec::new(99).lines_max(1);
    let transport = FramedTransport::new(FaultyIo::new("a\nb\nc\n").end(End::Silence), codec);
    let mut connection = task::spawn(Serve::new(service).stats(stats.clone()).call(transport));
    assert_pending!(connection.poll());
    let durations = stats.batch_duration.snapshot();
    assert_eq!((durations.count(), durations.sum_nanos), (3, 60_000));
    drop(connection);
    assert_eq!(stats.batch_duration.snapshot().count(), 3);
}
