//! Bad peers of every kind at once, for as long as one likes: what grows meanwhile?

use std::{net::TcpStream, path::Path, thread, time::Duration};

use super::{Attacker, Verdict, attack::By, findings::Finding};
use crate::{Error, clock, observed_server::Victim};

/// One of each kind beside the other, most of them coming back when they are closed.
const ADVERSARIES: [By; 6] = [
    By::Load(&["-c", "300", "--persona", "slowloris", "--mode", "idle"]),
    By::Load(&["-c", "100", "--persona", "never-read", "--mode", "flood"]),
    By::Load(&["-c", "200", "--persona", "reset", "--persona-interval", "100ms", "--mode", "idle"]),
    By::Load(&["-c", "4", "--persona", "churn", "--mode", "idle"]),
    By::EndlessLines(2),
    By::Scrapes(5),
];
const FLAGS: [&str; 4] = ["--line-deadline", "5s", "--write-timeout", "5s"];

/// Until the kinds have all had their turn: what is allocated once is no growth.
const WARM_UP_SHARE: f64 = 0.25;
const SAMPLES: u32 = 60;

/// How long the server gets until the last of them is gone.
const AFTERMATH: Duration = Duration::from_secs(10);

pub(crate) fn report(towline: &Path, time: Duration) -> Result<Verdict, Error> {
    let victim = Victim::start(towline, &FLAGS)?;
    // The first connection makes the server open what it keeps.
    drop(TcpStream::connect(victim.addr)?);
    let rest = victim.look_at_rest(AFTERMATH)?;
    let adversaries = ADVERSARIES
        .iter()
        .map(|by| Attacker::start(*by, towline, victim.addr, victim.admin))
        .collect::<Result<Vec<_>, _>>()?;
    thread::sleep(time.mul_f64(WARM_UP_SHARE));
    let began = clock::now();
    let pause = time.mul_f64(1.0 - WARM_UP_SHARE) / SAMPLES;
    let (mut resident, mut descriptors, mut unbalanced) = (Vec::new(), Vec::new(), 0);
    for _ in 0..SAMPLES {
        let sight = victim.look()?;
        let hours = (clock::now() - began).as_secs_f64() / 3600.0;
        resident.push((hours, sight.resident_bytes as f64));
        descriptors.push((hours, sight.descriptors as f64));
        unbalanced += u32::from(sight.accepted - sight.closed.values().sum::<u64>() != sight.open);
        thread::sleep(pause);
    }
    drop(adversaries);
    // Those who never finish asking for metrics are cut by then.
    thread::sleep(Duration::from_secs(3));
    let left = victim.look_at_rest(AFTERMATH)?;

    let mean = resident.iter().map(|(_, bytes)| bytes).sum::<f64>() / resident.len() as f64;
    let percent = 100.0 * slope(&resident) / mean;
    // A line through noise has a slope as well: it is no growth while it lies within the noise.
    let spread = 100.0 * spread(&resident) / mean;
    let hours = resident.last().map_or(0.0, |(hours, _)| *hours);
    let findings = [
        Finding {
            demanded: "resident memory ≤ +1 % an hour, or within its noise".into(),
            measured: format!(
                "{:+.2} % in the time, noise {spread:.2} %, mean {:.0} KiB",
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
            demanded: "accepted − closed = open at each look".into(),
            measured: format!("{unbalanced} of {SAMPLES} otherwise, {} accepted", left.accepted),
            met: unbalanced == 0,
        },
        Finding {
            demanded: "nothing left behind".into(),
            measured: format!("{} connections", left.open),
            met: left.open == 0,
        },
    ];
    let what = format!("606 bad peers of six kinds for {} s", time.as_secs());
    Ok(Verdict::of("45-soak", &what, &findings))
}

/// Of the straight line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = means(points);
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), point| {
        (xy + (point.0 - x) * (point.1 - y), xx + (point.0 - x) * (point.0 - x))
    });
    if count < 2.0 || xx == 0.0 { 0.0 } else { xy / xx }
}

/// How far points lie from that line, as a standard deviation.
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
    fn growth_is_told_from_noise() {
        let growing: Vec<_> =
            (0..10).map(|at| (f64::from(at), 5.0 + 2.0 * f64::from(at))).collect();
        assert!((slope(&growing) - 2.0).abs() < 1e-9 && spread(&growing) < 1e-9);
        let noisy = [(0.0, 1.0), (1.0, 3.0), (2.0, 1.0), (3.0, 3.0)];
        assert!(slope(&noisy) < 2.0 * spread(&noisy));
        assert_eq!(slope(&noisy[..1]), 0.0);
    }
}
