//! A great many connections that come and go, and what of them is left at the end.

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

use super::{Verdict, findings::Finding};
use crate::{
    Error,
    client::connect_from,
    clock,
    observed_server::{Sight, Victim},
};

/// How a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ending {
    /// A line, its answer, and an orderly close.
    Line,
    /// A reset at once, before or after it was accepted.
    Reset,
}

/// Threads that connect, and the addresses each connects from: a port that was used is not free
/// again for a minute, and an address has some 28,000.
const THREADS: u8 = 2;
const SOURCES: u8 = 32;

/// Connections before the server is looked at first: what it allocates once is not theirs.
const WARM_UP: u64 = 20_000;

/// How long the server gets until the last of them is gone.
const AFTERMATH: Duration = Duration::from_secs(10);

pub(crate) fn report(
    towline: &std::path::Path,
    count: u64,
    ending: Ending,
) -> Result<Verdict, Error> {
    let victim = Victim::start(towline, &[])?;
    run(victim.addr, WARM_UP.min(count), ending)?;
    let rest = victim.look_at_rest(AFTERMATH)?;
    let (began, cpu) = (clock::now(), victim.cpu());
    run(victim.addr, count, ending)?;
    let seconds = (clock::now() - began).as_secs_f64();
    let cpu = victim.cpu() - cpu;
    let time_waits = victim.time_waits();
    let left = victim.look_at_rest(AFTERMATH)?;

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
            measured: format!("{} of {}", unmoved(&rest, &left), rest.gauges.len()),
            met: rest.gauges == left.gauges,
        },
        Finding {
            demanded: "CPU time of the server each ≤ 100 µs".into(),
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
                demanded: "no TIME_WAIT of the server's".into(),
                measured: time_waits.to_string(),
                met: time_waits == 0,
            },
            Finding {
                demanded: "≥ 10,000 a second".into(),
                measured: format!("{:.0}", count as f64 / seconds),
                met: count as f64 / seconds >= 10e3,
            },
        ]),
        // How many are open at a time is up to the storm, and the memory for the most there ever were
        // is kept; so only what each of them might leave is looked for.
        Ending::Reset => findings.extend([
            Finding {
                demanded: "less than a byte of memory left by each".into(),
                measured: format!(
                    "{} and {} KiB",
                    rest.resident_bytes / 1024,
                    left.resident_bytes / 1024
                ),
                met: left.resident_bytes.saturating_sub(rest.resident_bytes) < count,
            },
            Finding {
                demanded: "told of as `peer_reset`".into(),
                measured: gained(&rest, &left, |sight| of(sight, "peer_reset")).to_string(),
                met: gained(&rest, &left, |sight| of(sight, "peer_reset")) == count,
            },
        ]),
    }
    let (name, what) = match ending {
        Ending::Line => ("12-churn", format!("{count} connections of a line each")),
        Ending::Reset => ("11-reset-storm", format!("{count} connections reset at once")),
    };
    Ok(Verdict::of(name, &what, &findings))
}

fn gained(rest: &Sight, left: &Sight, of: impl Fn(&Sight) -> u64) -> u64 {
    of(left) - of(rest)
}

const fn accepted(sight: &Sight) -> u64 {
    sight.accepted
}

fn closed(sight: &Sight) -> u64 {
    sight.closed.values().sum()
}

fn of(sight: &Sight, reason: &str) -> u64 {
    sight.closed.get(reason).copied().unwrap_or(0)
}

fn unmoved(rest: &Sight, left: &Sight) -> usize {
    rest.gauges.iter().filter(|(name, value)| left.gauges.get(*name) == Some(value)).count()
}

fn run(addr: SocketAddr, count: u64, ending: Ending) -> Result<(), Error> {
    let left = Arc::new(AtomicU64::new(count));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let left = left.clone();
            thread::spawn(move || {
                let mut source = 0;
                while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
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
