//! What a scrape costs: with nobody connected, with many connected, and with many counted.

use std::{fmt::Write as _, path::Path, thread, time::Duration};

use crate::{
    Error, clock,
    faults::{Attacker, By},
    kernel::spent_by,
    metrics,
    observed_server::Victim,
};

/// Connections that are open in the second row.
const OPEN: u64 = 10_000;

/// Scrapes of a row; the first tenth warms up.
const SCRAPES: usize = 500;

/// What a scrape may take, whoever is connected.
const DEMANDED: Duration = Duration::from_millis(5);

/// How long it may take to open or to count connections.
const PATIENCE: Duration = Duration::from_secs(150);

/// Scrapes a server of its own and tells in a table. `counted` connections come and go for the last
/// row.
pub(crate) fn report(towline: &Path, counted: u64) -> Result<String, Error> {
    let victim = Victim::start(towline, &[])?;
    let mut table = String::from(
        "| connections | p50 | p99 | CPU of the thread | bytes | |\n|---|---|---|---|---|---|\n",
    );
    let calm = row(&mut table, "none", &victim)?;

    let open = Attacker::start(
        By::Load(&["-c", "10000", "--mode", "idle"]),
        towline,
        victim.addr,
        victim.admin,
    )?;
    wait_until(|| Ok(victim.look()?.open >= OPEN))?;
    row(&mut table, "10,000 open", &victim)?;
    drop(open);

    let come_and_go = Attacker::start(
        By::Load(&["-c", "50", "--persona", "churn", "--mode", "idle", "--sources", "auto"]),
        towline,
        victim.addr,
        victim.admin,
    )?;
    wait_until(|| Ok(victim.look()?.accepted >= counted))?;
    drop(come_and_go);
    wait_until(|| Ok(victim.look()?.open == 0))?;
    let accepted = victim.look()?.accepted;
    let after = row(&mut table, &format!("{accepted} counted"), &victim)?;
    writeln!(
        table,
        "\nThe last against the first: {:.2} of its p50.",
        after.as_secs_f64() / calm.as_secs_f64()
    )?;
    Ok(table)
}

fn wait_until(mut reached: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let began = clock::now();
    while !reached()? {
        if clock::now().saturating_sub(began) > PATIENCE {
            return Err(format!("the connections did not come or go within {PATIENCE:?}").into());
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Scrapes again and again, and writes down how long it took; returns the median.
fn row(table: &mut String, connections: &str, victim: &Victim) -> Result<Duration, Error> {
    let mut bytes = 0;
    let mut times = Vec::with_capacity(SCRAPES);
    let mut cpu_before = Duration::ZERO;
    for number in 0..SCRAPES + SCRAPES / 10 {
        if number == SCRAPES / 10 {
            cpu_before = admin_cpu(victim);
        }
        let began = clock::now();
        // From connecting to the last byte.
        bytes = metrics::fetch(victim.admin)?.len();
        if number >= SCRAPES / 10 {
            times.push(clock::now().saturating_sub(began));
        }
    }
    let cpu = admin_cpu(victim).saturating_sub(cpu_before) / SCRAPES as u32;
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

/// What the server's admin thread has run so far.
fn admin_cpu(victim: &Victim) -> Duration {
    spent_by(victim.pid(), |name| name == "admin")
}
