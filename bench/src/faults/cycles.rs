//! Connections made and closed in great number, and what they leave behind.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;

use super::{FindingsTable, findings::Finding};
use crate::{
    Error,
    client::connect_from,
    clock,
    observed_server::{ObservedServer, Snapshot},
};

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ending {
    /// A line, its reply, and an orderly close
    Line,
    /// A reset at once, before or after the server accepted it
    Reset,
}

/// Threads that connect, and source addresses of each: a used port is free again after a minute, and an
/// address has some 28,000.
const THREADS: u8 = 2;
const SOURCES: u8 = 32;

/// Connections before the first snapshot: what the server allocates once is not due to them.
const WARM_UP: u64 = 20_000;

/// Longest wait for the end of the last connection.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Makes `count` connections and compares the server before and after them.
pub(crate) fn report(
    towline: &std::path::Path,
    count: u64,
    ending: Ending,
) -> Result<FindingsTable, Error> {
    let server = ObservedServer::start(towline, &[])?;
    run(server.addr, WARM_UP.min(count), ending)?;
    let rest = server.snapshot_at_rest(AFTERMATH)?;
    let (began, cpu) = (clock::now(), server.cpu());
    run(server.addr, count, ending)?;
    let seconds = (clock::now() - began).as_secs_f64();
    let cpu = server.cpu() - cpu;
    let time_waits = server.time_waits();
    let left = server.snapshot_at_rest(AFTERMATH)?;

    let mut findings = vec![
        Finding {
            demanded: "accepted = closed = made".into(),
            measured: format!(
                "{}, {}",
                gained(&rest, &left, accepted),
                gained(&rest, &left, closed)
            ),
            met: gained(&rest, &left, accepted) == count && gained(&rest, &left, closed) == count,
        },
        Finding {
            demanded: "descriptors as before".into(),
            measured: format!("{} and {}", rest.descriptors, left.descriptors),
            met: left.descriptors <= rest.descriptors,
        },
        Finding {
            demanded: "every gauge as before".into(),
            measured: format!("{} of {}", unchanged(&rest, &left), rest.gauges.len()),
            met: rest.gauges == left.gauges,
        },
        Finding {
            demanded: "server CPU per connection ≤ 100 µs".into(),
            measured: format!("{:.1} µs", cpu.as_secs_f64() * 1e6 / count as f64),
            met: cpu.as_secs_f64() <= 100e-6 * count as f64,
        },
    ];
    match ending {
        Ending::Line => findings.extend([
            Finding {
                demanded: "resident memory +1 % at most".into(),
                measured: format!(
                    "{} and {} KiB",
                    rest.resident_bytes / 1024,
                    left.resident_bytes / 1024
                ),
                met: left.resident_bytes as f64 <= 1.01 * rest.resident_bytes as f64,
            },
            Finding {
                demanded: "no socket of the server in TIME_WAIT".into(),
                measured: time_waits.to_string(),
                met: time_waits == 0,
            },
            Finding {
                demanded: "≥ 10,000 per second".into(),
                measured: format!("{:.0}", count as f64 / seconds),
                met: count as f64 / seconds >= 10e3,
            },
        ]),
        // The number open at a time varies, and the memory for the largest number is retained: so only
        // what each connection might leave is checked.
        Ending::Reset => findings.extend([
            Finding {
                demanded: "less than a byte of memory left per connection".into(),
                measured: format!(
                    "{} and {} KiB",
                    rest.resident_bytes / 1024,
                    left.resident_bytes / 1024
                ),
                met: left.resident_bytes.saturating_sub(rest.resident_bytes) < count,
            },
            Finding {
                demanded: "counted as `peer_reset`".into(),
                measured: gained(&rest, &left, |snapshot| of(snapshot, "peer_reset")).to_string(),
                met: gained(&rest, &left, |snapshot| of(snapshot, "peer_reset")) == count,
            },
        ]),
    }
    let (name, what) = match ending {
        Ending::Line => ("12-churn", format!("{count} connections of a line each")),
        Ending::Reset => ("11-reset-storm", format!("{count} connections reset at once")),
    };
    Ok(FindingsTable::of(name, &what, &findings))
}

/// By how much a figure grew.
fn gained(rest: &Snapshot, left: &Snapshot, of: impl Fn(&Snapshot) -> u64) -> u64 {
    of(left) - of(rest)
}

const fn accepted(snapshot: &Snapshot) -> u64 {
    snapshot.accepted
}

fn closed(snapshot: &Snapshot) -> u64 {
    snapshot.closed.values().sum()
}

fn of(snapshot: &Snapshot, reason: &str) -> u64 {
    snapshot.closed.get(reason).copied().unwrap_or(0)
}

fn unchanged(rest: &Snapshot, left: &Snapshot) -> usize {
    rest.gauges.iter().filter(|(name, value)| left.gauges.get(*name) == Some(value)).count()
}

/// Makes `count` connections from all threads.
fn run(addr: SocketAddr, count: u64, ending: Ending) -> Result<(), Error> {
    let remaining = Arc::new(AtomicU64::new(count));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let remaining = remaining.clone();
            thread::spawn(move || {
                let mut source = 0;
                while remaining.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
                    source = (source + 1) % SOURCES;
                    cycle(addr, Ipv4Addr::new(127, 0, 100 + thread, 1 + source), ending)?;
                }
                Ok::<_, io::Error>(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_panic| "a client panicked")??;
    }
    Ok(())
}

fn cycle(addr: SocketAddr, source: Ipv4Addr, ending: Ending) -> io::Result<()> {
    let mut stream = connect_from(source, addr)?;
    match ending {
        Ending::Line => {
            stream.write_all(b"line\n")?;
            stream.read_exact(&mut [0; 5])
        }
        Ending::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
    }
}
