//! The cost of a scrape: with no connection, with many open, and after many were counted.

use std::{fmt::Write as _, path::Path, thread, time::Duration};

use crate::{
    Error, clock,
    faults::{AttackKind, Attacker},
    kernel::cpu_time_of,
    metrics,
    observed_server::ObservedServer,
};

/// Connections that are open in the second row.
const OPEN: u64 = 10_000;

/// Scrapes of a row; the first tenth warms up.
const SCRAPES: usize = 500;

/// Pause between scrapes: without one, most would be answered by a cached page.
const PAUSE: Duration = Duration::from_millis(10);

/// Highest 99th percentile of a scrape's time.
const DEMANDED: Duration = Duration::from_millis(5);

/// Longest wait until connections are open or counted.
const TIMEOUT: Duration = Duration::from_secs(150);

/// Scrapes a new server and returns the table. `counted` connections are made and closed before the
/// last row.
pub(crate) fn report(towline: &Path, counted: u64) -> Result<String, Error> {
    let server = ObservedServer::start(towline, &[])?;
    let mut table = String::from(
        "| connections | p50 | p99 | CPU of the admin thread | bytes | |\n|---|---|---|---|---|---|\n",
    );
    let calm = row(&mut table, "none", &server)?;

    let open = Attacker::start(
        AttackKind::Load(&["-c", "10000", "--mode", "idle"]),
        towline,
        server.addr,
        server.admin,
    )?;
    wait_until(|| Ok(server.snapshot()?.open >= OPEN))?;
    row(&mut table, "10,000 open", &server)?;
    drop(open);

    let churn = Attacker::start(
        AttackKind::Load(&[
            "-c",
            "50",
            "--persona",
            "churn",
            "--mode",
            "idle",
            "--sources",
            "auto",
        ]),
        towline,
        server.addr,
        server.admin,
    )?;
    wait_until(|| Ok(server.snapshot()?.accepted >= counted))?;
    drop(churn);
    wait_until(|| Ok(server.snapshot()?.open == 0))?;
    let accepted = server.snapshot()?.accepted;
    let after = row(&mut table, &format!("{accepted} counted"), &server)?;
    writeln!(
        table,
        "\nThe p50 of the last row is {:.2} times that of the first.",
        after.as_secs_f64() / calm.as_secs_f64()
    )?;
    Ok(table)
}

fn wait_until(mut reached: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let began = clock::now();
    while !reached()? {
        if clock::now().saturating_sub(began) > TIMEOUT {
            return Err(
                format!("the connections were not made or closed within {TIMEOUT:?}").into()
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Scrapes `SCRAPES` times and adds a row to the table; returns the median.
fn row(table: &mut String, connections: &str, server: &ObservedServer) -> Result<Duration, Error> {
    let mut bytes = 0;
    let mut times = Vec::with_capacity(SCRAPES);
    let mut cpu_before = Duration::ZERO;
    for number in 0..SCRAPES + SCRAPES / 10 {
        if number == SCRAPES / 10 {
            cpu_before = admin_cpu(server);
        }
        thread::sleep(PAUSE);
        let began = clock::now();
        // From the connect to the last byte.
        bytes = metrics::fetch(server.admin, "/metrics")?.len();
        if number >= SCRAPES / 10 {
            times.push(clock::now().saturating_sub(began));
        }
    }
    let cpu = admin_cpu(server).saturating_sub(cpu_before) / SCRAPES as u32;
    times.sort_unstable();
    let (p50, p99) = (times[SCRAPES / 2], times[SCRAPES * 99 / 100]);
    let verdict = if p99 < DEMANDED { "ok" } else { "**missed**" };
    let micros = |time: Duration| format!("{} µs", time.as_micros());
    writeln!(
        table,
        "| {connections} | {} | {} | {} | {bytes} | p99 under {DEMANDED:?}: {verdict} |",
        micros(p50),
        micros(p99),
        micros(cpu)
    )?;
    Ok(p50)
}

/// CPU time of the server's admin thread.
fn admin_cpu(server: &ObservedServer) -> Duration {
    cpu_time_of(server.pid(), |name| name == "admin")
}
