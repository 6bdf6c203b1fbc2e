//! SHA-256 of every line: the digests, and how the work is cut.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_service::Service;
use towline_middleware::{
    BoxError, DigestMode, Echo, Lines, Sha256Layer, TimeoutLayer, stats::Stats,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Published digests: those of FIPS 180-4, and of a million times `a`.
const VECTORS: [(&str, &str); 3] = [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
];

const MILLION_A: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

fn sha256(
    digest: DigestMode,
) -> (impl Service<Lines, Response = Lines, Error = BoxError> + Clone, Arc<Stats>) {
    let stats = Arc::new(Stats::new(Instant::now()));
    (Sha256Layer::new(digest, stats.clone()).layer(Echo), stats)
}

#[tokio::test(start_paused = true)]
async fn digests_are_those_of_the_standard() {
    let (service, stats) = sha256(DigestMode::Reply);
    let (lines, digests): (Vec<_>, Vec<_>) = VECTORS.into_iter().unzip();
    let reply = service.clone().oneshot(Lines::from_iter(lines)).await.unwrap();
    assert_eq!(reply, Lines::from_iter(digests));
    assert_eq!(stats.hashed_bytes.get(), 62);

    let reply = service.oneshot(Lines::from_iter(["a".repeat(1_000_000)])).await.unwrap();
    assert_eq!(reply, Lines::from_iter([MILLION_A]));
}

#[tokio::test(start_paused = true)]
async fn a_carriage_return_is_hashed_with_its_line() {
    let (service, _) = sha256(DigestMode::Reply);
    let reply = service.oneshot(Lines::from_iter(["abc\r", "abc"])).await.unwrap();
    let replies: Vec<_> = reply.iter().collect();
    assert_ne!(replies[0], replies[1]);
}

#[tokio::test(start_paused = true)]
async fn discarded_digests_leave_the_lines_as_they_were() {
    let (service, stats) = sha256(DigestMode::Discard);
    let lines = Lines::from_iter(["a", "", "ccc"]);
    assert_eq!(service.oneshot(lines.clone()).await.unwrap(), lines);
    assert_eq!(stats.hashed_bytes.get(), 7);
}

/// A piece is at most 32 KiB, or 512 short lines. A line longer than a piece was hashed in one go: one of
/// 512 MiB held up all other connections of its thread for half a second.
#[tokio::test(start_paused = true)]
async fn fault_23_other_tasks_run_between_the_pieces_of_a_large_batch() {
    for (line_bytes, pieces) in [(63, 32), (0, 2048), (64 * KIB, 32), (MIB - 1, 32)] {
        let line = "x".repeat(line_bytes);
        let count = MIB / (line.len() + 1);
        let (service, stats) = sha256(DigestMode::Discard);
        let longest = Arc::new(AtomicUsize::new(0));
        let (seen, longest_seen) = (stats.clone(), longest.clone());
        let turns = Arc::new(AtomicUsize::new(0));
        let turns_seen = turns.clone();
        let ticker = tokio::spawn(async move {
            let mut before = 0;
            loop {
                let hashed = seen.hashed_bytes.get() as usize;
                longest_seen.fetch_max(hashed - before, Relaxed);
                turns_seen.fetch_add(usize::from(hashed > before), Relaxed);
                before = hashed;
                tokio::task::yield_now().await;
            }
        });
        let batch = Lines::from_iter(std::iter::repeat_n(&line, count));
        let reply = service.oneshot(batch.clone()).await.unwrap();
        ticker.abort();
        assert_eq!(reply, batch);
        let turns = turns.load(Relaxed);
        assert!(
            turns >= pieces - 2,
            "{turns} turns of the other task with lines of {}",
            line.len()
        );
        let longest = longest.load(Relaxed);
        assert!(longest <= 32 * KIB, "a piece of {longest} bytes");
    }
}

/// The clock is advanced between the pieces, as on a slow processor.
#[tokio::test(start_paused = true)]
async fn fault_23_the_request_timeout_ends_a_batch_that_takes_too_long_to_hash() {
    let (service, stats) = sha256(DigestMode::Discard);
    let seen = stats.clone();
    let ticker = tokio::spawn(async move {
        let mut before = 0;
        loop {
            let hashed = seen.hashed_bytes.get();
            if hashed > before {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            before = hashed;
            tokio::task::yield_now().await;
        }
    });
    let batch = Lines::from_iter(std::iter::repeat_n("x".repeat(64 * KIB), 64));
    let late =
        TimeoutLayer::new(Duration::from_secs(5)).layer(service).oneshot(batch.clone()).await;
    ticker.abort();
    assert!(late.unwrap_err().is::<tower::timeout::error::Elapsed>());
    let hashed = stats.hashed_bytes.get() as usize;
    assert!((1..batch.as_bytes().len() / 2).contains(&hashed), "{hashed} bytes were hashed");
}

#[tokio::test]
async fn the_digest_can_be_changed_for_services_that_exist() {
    let layer = Sha256Layer::new(None, Stats::unobserved());
    let service = layer.layer(Echo);
    let empty_line = Lines::from_iter([""]);
    let reply = service.clone().oneshot(empty_line.clone()).await.unwrap();
    assert_eq!(reply, empty_line);
    layer.set_digest(Some(DigestMode::Reply));
    assert_eq!(service.oneshot(empty_line).await.unwrap(), Lines::from_iter([VECTORS[0].1]));
}
