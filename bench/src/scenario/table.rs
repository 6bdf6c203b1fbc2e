//! The scenarios of `ratio`.

use super::{Scenario, row, throughput};
use crate::{
    figure::{
        Demand::{self, AtLeast, AtMost, Nothing},
        Figure, Row,
    },
    generator::Load,
    implementation::Implementation::{
        self, BareTokio, Baseline, Batch, CRaw, EachLine, FourThreads, LineService, OneThread,
        RawTokio, Router, Session, Sha2, Threads, Unobserved, Unsupervised,
    },
};

const KIB: u32 = 1024;

const BOTH: &[Implementation] = &[BareTokio, CRaw];

const FLOOD: Load = Load::new("flood", 100);
const PINGPONG: Load = Load::new("pingpong", 100);

/// Pipes full of 5-byte lines. The slowest round bounds how much a server's luck with its addresses and
/// with the generator's rhythm may cost.
const SHORT_LINES: &[Row] = &[
    throughput(BareTokio, AtLeast(2.5)),
    throughput(CRaw, AtLeast(0.9)),
    row(Figure::SlowestRound, None, AtMost(1.4)),
];

/// Pipes full of longer lines.
const LONGER_LINES: &[Row] = &[throughput(BareTokio, AtLeast(1.0)), throughput(CRaw, AtLeast(0.9))];

/// Bytes in flight are bounded, as by any client that waits for replies at all.
const WINDOW: &[Row] = &[throughput(CRaw, AtLeast(1.0))];

const FEW_IN_FLIGHT: &[Row] =
    &[throughput(BareTokio, AtLeast(1.0)), throughput(CRaw, AtLeast(0.95))];

const TAIL: Row = row(Figure::P99OverP50, None, AtMost(2.0));

/// The ways to write a service with the library, beside one that hands batches back.
const WAYS: &[Implementation] = &[Batch, EachLine, LineService, Router, Session];

const CPU_OF_WAYS: &[Row] = &[
    throughput(Batch, Nothing),
    throughput(EachLine, Nothing),
    throughput(LineService, Nothing),
    throughput(Router, Nothing),
    throughput(Session, Nothing),
];

const SUPERVISION: &[Row] = &[throughput(Unsupervised, AtLeast(0.97))];
const METRICS: &[Row] = &[throughput(Unobserved, AtLeast(0.99))];
const SPREAD: &[Row] = &[row(Figure::CpuPerLine, Some(Threads), AtMost(1.03))];

/// Two threads, beside one and four under the same load.
const CPU_OF_THREADS: &[Row] = &[throughput(OneThread, Nothing), throughput(FourThreads, Nothing)];

/// Where hashing outweighs the load's own work, the second thread shows in lines per second too. The
/// load shares its core with it, so the bound is below 2.
const SPEED_OF_THREADS: &[Row] = &[
    row(Figure::LinesPerSecond, Some(OneThread), AtLeast(1.8)),
    CPU_OF_THREADS[0],
    CPU_OF_THREADS[1],
];

// What the allocator retains after a burst is divided by the connections too: a few bytes each are no
// growth of a connection.
const MEMORY: &[Row] = &[
    row(Figure::IdleBytes, None, AtMost(700.0)),
    row(Figure::BurstGrowth, None, AtMost(64.0)),
    row(Figure::BytesAfterBurst, None, Nothing),
];

/// Turns on every limit and deadline that is off by default.
const SUPERVISED: &[&str] =
    &["--idle-timeout=60s", "--max-connections-per-ip=20000", "--max-accept-rate=100000"];

const HASHING: &[&str] = &["--workload=sha256", "--digest=discard"];

const fn pingpong(name: &'static str, conns: u32, rows: &'static [Row]) -> Scenario {
    Scenario::echo(name, Load::new("pingpong", conns), &[BareTokio], rows)
}

const fn window(name: &'static str, bytes: u32, conns: u32) -> Scenario {
    Scenario::echo(name, Load::new("flood", conns).in_flight(bytes), &[CRaw], WINDOW)
}

/// `lines` lines of five bytes in flight on each of 100 connections.
const fn few_in_flight(name: &'static str, lines: u32) -> Scenario {
    Scenario::echo(name, FLOOD.in_flight(lines * FLOOD.line), BOTH, FEW_IN_FLIGHT)
}

/// One thread in each of two processes, compared with two threads in one process.
const fn processes(name: &'static str, load: Load) -> Scenario {
    let flags: &[&str] = &["--processes=2"];
    Scenario::new(name, load, &[Threads], SPREAD).flags(flags).on_all_cores().on_request()
}

/// Two threads compared with one and with four, on both cores.
const fn threads(name: &'static str, load: Load, rows: &'static [Row]) -> Scenario {
    let flags: &[&str] = &["--threads=2"];
    let references: &[Implementation] = &[OneThread, FourThreads];
    Scenario::new(name, load, references, rows).flags(flags).on_all_cores().on_request()
}

pub(crate) static SCENARIOS: [Scenario; 31] = [
    Scenario::echo("flood-100", FLOOD, BOTH, SHORT_LINES),
    Scenario::echo("flood-5000", Load::new("flood", 5_000), BOTH, SHORT_LINES),
    Scenario::echo("flood-64-bytes", FLOOD.of_bytes(64), BOTH, LONGER_LINES),
    Scenario::echo("flood-512-bytes", FLOOD.of_bytes(512), BOTH, LONGER_LINES),
    Scenario::echo("flood-4096-bytes", FLOOD.of_bytes(4096), BOTH, LONGER_LINES),
    window("window-8k-100", 8 * KIB, 100),
    window("window-8k-10000", 8 * KIB, 10_000),
    window("window-64k-100", 64 * KIB, 100),
    window("window-64k-10000", 64 * KIB, 10_000),
    few_in_flight("in-flight-10", 10),
    few_in_flight("in-flight-100", 100),
    pingpong("pingpong-1", 1, &[throughput(BareTokio, AtLeast(0.97)), TAIL]),
    pingpong("pingpong-100", 100, &[throughput(BareTokio, AtLeast(0.98)), TAIL]),
    pingpong("pingpong-1000", 1_000, &[throughput(BareTokio, AtLeast(0.98)), TAIL]),
    pingpong("pingpong-10000", 10_000, &[throughput(BareTokio, AtLeast(1.05)), TAIL]),
    Scenario::new(
        "noise",
        Load::new("noise", 8).beside_pipes(4),
        &[CRaw, RawTokio],
        &[
            row(Figure::P99, Some(CRaw), AtMost(2.0)),
            row(Figure::P99, Some(RawTokio), AtMost(2.0)),
            row(Figure::P99, Some(Baseline), NOT_WORSE),
        ],
    )
    .more(&[BareTokio]),
    Scenario::new("idle-10000", Load::new("idle", 10_000), &[], MEMORY).more(BOTH),
    Scenario::new("idle-unix-10000", Load::new("idle", 10_000), &[], MEMORY)
        .flags(&[crate::launcher::ON_UNIX_SOCKET]),
    Scenario::new(
        "sha256-discard",
        FLOOD,
        &[Sha2],
        &[row(Figure::CpuPerLine, Some(Sha2), AtMost(1.3)), row(Figure::NsPerLine, None, Nothing)],
    )
    .shared_flags(HASHING)
    .on_request(),
    Scenario::new("lines-framing", FLOOD, &[], &[row(Figure::NsPerLine, None, AtMost(60.0))])
        .flags(&["--framing=lines"])
        .on_request(),
    threads("threads-1-2-4", FLOOD, CPU_OF_THREADS),
    threads("threads-1-2-4-pingpong", PINGPONG, CPU_OF_THREADS),
    threads("threads-1-2-4-sha256", FLOOD, SPEED_OF_THREADS).shared_flags(HASHING),
    Scenario::new("supervision-flood", FLOOD, &[Unsupervised], SUPERVISION)
        .flags(SUPERVISED)
        .on_request(),
    Scenario::new("supervision-pingpong", PINGPONG, &[Unsupervised], SUPERVISION)
        .flags(SUPERVISED)
        .on_request(),
    Scenario::new("ways-flood", FLOOD, WAYS, CPU_OF_WAYS).on_request(),
    Scenario::new("ways-pingpong", PINGPONG, WAYS, CPU_OF_WAYS).on_request(),
    Scenario::new("metrics-flood", FLOOD, &[Unobserved], METRICS).on_request(),
    Scenario::new("metrics-pingpong", PINGPONG, &[Unobserved], METRICS).on_request(),
    processes("processes-flood", FLOOD),
    processes("processes-pingpong", PINGPONG),
];

/// Of the p99 beside floods, against another build: rounds differ by this much.
const NOT_WORSE: Demand = AtMost(1.15);
