//! What a rate costs: a quota, one of many keys, and the layer around a batch.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench may panic")]

use std::{
    convert::Infallible,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    task::{Context, Poll, Waker},
};

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::time::Instant;
use tower::{Layer, service_fn};
use tower_service::Service;
use towline_middleware::{
    Lines,
    rate::{Quota, Quotas, RateLayer},
};

fn quota(c: &mut Criterion) {
    let now = Instant::now();
    let mut group = c.benchmark_group("rate");
    let mut within = Quota::per_second(u32::MAX);
    let mut later = now;
    group.bench_function("quota/within", |b| {
        b.iter(|| {
            later += std::time::Duration::from_nanos(1);
            within.take(black_box(later)).is_ok()
        });
    });
    let mut above = Quota::per_minute(1);
    group.bench_function("quota/above", |b| b.iter(|| above.take(black_box(now)).is_ok()));

    let quotas = Quotas::new(Quota::per_second(u32::MAX));
    let address = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
    for n in 0..50_000 {
        quotas.take_n(&address(n), 1_000_000, now).unwrap();
    }
    let mut n = 0;
    group.bench_function("quotas/one_key", |b| {
        b.iter(|| quotas.take(black_box(&address(1)), now).is_ok());
    });
    group.bench_function("quotas/of_50000_keys", |b| {
        b.iter(|| {
            n = (n + 7_919) % 50_000;
            quotas.take(black_box(&address(n)), now).is_ok()
        });
    });
    // Each is new, and the table is full: the cost of making room is in it.
    group.bench_function("quotas/new_keys", |b| {
        b.iter(|| {
            n = n.wrapping_add(1);
            quotas.take(black_box(&address(n | 1 << 31)), now).is_ok()
        });
    });

    let echo = service_fn(|lines: Lines| std::future::ready(Ok::<_, Infallible>(lines)));
    let mut rate = RateLayer::new(Quota::per_second(u32::MAX)).layer(echo);
    let lines = Lines::from_iter(["ping"]);
    group.bench_function("layer/batch_of_1", |b| {
        b.iter(|| {
            let mut call = std::pin::pin!(rate.call(lines.clone()));
            let Poll::Ready(reply) = call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            else {
                panic!("it never waits")
            };
            reply.unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, quota);
criterion_main!(benches);
