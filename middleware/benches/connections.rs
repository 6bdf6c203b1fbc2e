//! What the rows of connections cost: one batch, one park, and a reading of all.

#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use towline_middleware::{
    connections::PeerAddress,
    internal::Rows,
    stats::{Nanos, State},
};

const OPEN: u32 = 100_000;

fn rows(c: &mut Criterion) {
    let mut rows = Rows::default();
    for slot in 0..OPEN {
        rows.open(slot, Nanos(slot.into()));
        let peer = std::net::Ipv4Addr::from_bits(slot);
        rows.set_peer(slot, PeerAddress::Ip((peer, 1).into()));
    }
    let (chunks, slot) = (rows.chunks(), OPEN - 1);

    let mut group = c.benchmark_group("connections");
    group.bench_function("batch", |b| b.iter(|| chunks.add_lines(black_box(slot), 1)));
    let mut now = 0;
    group.bench_function("resume_and_park", |b| {
        b.iter(|| {
            now += 1_000;
            chunks.resume(black_box(slot), Nanos(now));
            chunks.park(slot, State::Idle, Nanos(now + 500));
        });
    });
    group.throughput(Throughput::Elements(OPEN.into()));
    group.bench_function("read_100000", |b| {
        b.iter(|| chunks.read_all(black_box(Nanos(now)), |_| PeerAddress::Unix).count());
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
