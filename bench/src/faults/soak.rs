//! Badly behaved clients of every kind at once, for a long time: shows what grows meanwhile.

use std::{net::TcpStream, path::Path, thread, time::Duration};

use super::{Attacker, FindingsTable, attack::AttackKind, findings::Finding};
use crate::{Error, clock, observed_server::ObservedServer};

/// One attack of each kind; most clients reconnect when they are closed.
const ADVERSARIES: [AttackKind; 6] = [
    AttackKind::Load(&["-c", "300", "--persona", "slowloris", "--mode", "idle"]),
    AttackKind::Load(&["-c", "100", "--persona", "never-read", "--mode", "flood"]),
    AttackKind::Load(&[
        "-c",
        "200",
        "--persona",
        "reset",
        "--persona-interval",
        "100ms",
        "--mode",
        "idle",
    ]),
    AttackKind::Load(&["-c", "4", "--persona", "churn", "--mode", "idle"]),
    AttackKind::EndlessLines(2),
    AttackKind::Scrapes(5),
];
const FLAGS: [&str; 4] = ["--line-deadline", "5s", "--write-timeout", "5s"];

/// Share of the time before the first sample: what is allocated once is no growth.
const WARM_UP_SHARE: f64 = 0.25;
/// Snapshots in the rest of the time.
const SAMPLES: u32 = 60;

/// Longest wait for the end of the last connection.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Samples a server under all attacks for `time`.
pub(crate) fn report(towline: &Path, time: Duration) -> Result<FindingsTable, Error> {
    let server = ObservedServer::start(towline, &FLAGS)?;
    // With the first connection, the server opens descriptors that it keeps.
    drop(TcpStream::connect(server.addr)?);
    let rest = server.snapshot_at_rest(AFTERMATH)?;
    let adversaries = ADVERSARIES
        .iter()
        .map(|kind| Attacker::start(*kind, towline, server.addr, server.admin))
        .collect::<Result<Vec<_>, _>>()?;
    thread::sleep(time.mul_f64(WARM_UP_SHARE));
    let began = clock::now();
    let pause = time.mul_f64(1.0 - WARM_UP_SHARE) / SAMPLES;
    let (mut resident, mut descriptors, mut unbalanced) = (Vec::new(), Vec::new(), 0);
    for _ in 0..SAMPLES {
        let snapshot = server.snapshot()?;
        let hours = (clock::now() - began).as_secs_f64() / 3600.0;
        resident.push((hours, snapshot.resident_bytes as f64));
        descriptors.push((hours, snapshot.descriptors as f64));
        unbalanced +=
            u32::from(snapshot.accepted - snapshot.closed.values().sum::<u64>() != snapshot.open);
        thread::sleep(pause);
    }
    drop(adversaries);
    // By then the admin endpoint has closed the requests that never finish.
    thread::sleep(Duration::from_secs(3));
    let left = server.snapshot_at_rest(AFTERMATH)?;

    let mean = resident.iter().map(|(_, bytes)| bytes).sum::<f64>() / resident.len() as f64;
    let percent = 100.0 * slope(&resident) / mean;
    // A line through noise has a slope too, which is no growth while it lies within the noise.
    let spread = 100.0 * spread(&resident) / mean;
    let hours = resident.last().map_or(0.0, |(hours, _)| *hours);
    let findings = [
        Finding {
            demanded: "resident memory ≤ +1 % per hour, or within its noise".into(),
            measured: format!(
                "{:+.2} % in all, noise {spread:.2} %, mean {:.0} KiB",
                percent * hours,
                mean / 1024.0
            ),
            met: percent <= 1.0 || percent * hours <= 2.0 * spread,
        },
        Finding {
            demanded: "descriptors at the end as at the start".into(),
            measured: format!("{} and {}", rest.descriptors, left.descriptors),
            met: left.descriptors <= rest.descriptors,
        },
        Finding {
            demanded: "accepted − closed = open at each scrape".into(),
            measured: format!("wrong at {unbalanced} of {SAMPLES}, {} accepted", left.accepted),
            met: unbalanced == 0,
        },
        Finding {
            demanded: "nothing left behind".into(),
            measured: format!("{} connections", left.open),
            met: left.open == 0,
        },
    ];
    let what = format!("616 badly behaved clients of six kinds for {} s", time.as_secs());
    Ok(FindingsTable::of("45-soak", &what, &findings))
}

/// The slope of the straight line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = means(points);
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), point| {
        (xy + (point.0 - x) * (point.1 - y), xx + (point.0 - x) * (point.0 - x))
    });
    if count < 2.0 || xx == 0.0 { 0.0 } else { xy / xx }
}

/// The standard deviation of the points from that line.
fn spread(points: &[(f64, f64)]) -> f64 {
    let (x, y) = means(points);
    let slope = slope(points);
    let squares = points.iter().map(|point| {
        let off = point.1 - y - slope * (point.0 - x);
        off * off
    });
    (squares.sum::<f64>() / points.len() as f64).sqrt()
}

fn means(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    (x / count, y / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_distinguished_from_noise() {
        let growing: Vec<_> =
            (0..10).map(|at| (f64::from(at), 5.0 + 2.0 * f64::from(at))).collect();
        assert!((slope(&growing) - 2.0).abs() < 1e-9 && spread(&growing) < 1e-9);
        let noisy = [(0.0, 1.0), (1.0, 3.0), (2.0, 1.0), (3.0, 3.0)];
        assert!(slope(&noisy) < 2.0 * spread(&noisy));
        assert_eq!(slope(&noisy[..1]), 0.0);
    }
}
