//! Certificates that are replaced every second, under lines whose replies are verified.

use std::{cell::Cell, io, ops::ControlFlow, rc::Rc, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::spawn_local,
    time::{Instant, interval_at, sleep},
};

use super::{
    client::{Connection, Connector, Tally, on_load_core},
    keys::{Algorithm, Keys},
    lines::{exchange, open},
};
use crate::{
    Error, faults::Finding, launcher::Launcher, metrics, observed_server::ObservedServer,
    periodic::Periodic, ratio::Plan,
};

pub(super) const WHAT: &str = "100 connections with 10,000 lines a second in all, and new connections all the time, \
                               while the certificate is replaced every second for ten seconds";

const CONNECTIONS: u32 = 100;

/// Pause between the lines of a connection.
const INTERVAL: Duration = Duration::from_millis(10);

/// Pause between new connections.
const NEW_INTERVAL: Duration = Duration::from_millis(20);

const SWAPS: u32 = 10;
const SWAP_INTERVAL: Duration = Duration::from_secs(1);

/// What the clients observed.
#[derive(Debug, Clone, Copy)]
struct Observed {
    lines: u64,
    new_connections: u64,
    seconds: f64,
}

/// Loads the server and replaces its certificate meanwhile.
pub(super) fn run(launcher: &Launcher, _: &Keys, _: Plan) -> Result<Vec<Finding>, Error> {
    let towline = launcher.towline.path.as_deref().ok_or("no towline binary")?;
    // Keys of its own, which the thread that replaces them takes along.
    let keys = Keys::write(&launcher.programs, Algorithm::P256)?;
    let tls = keys.flags();
    let server = ObservedServer::start(towline, &tls.each_ref().map(String::as_str))?;
    let connector = Connector::new(keys.authority(), server.addr, true)?;
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or("the server has no pid")?;
    let swaps = Periodic::start(SWAP_INTERVAL, Ok(0), move |swapped: &mut Result<u32, String>| {
        let done = keys.replace().and_then(|()| Ok(kill_process(pid, Signal::HUP)?));
        match (done, &swapped) {
            (Ok(()), Ok(count)) => *swapped = Ok(count + 1),
            (Err(error), _) => *swapped = Err(error.to_string()),
            (_, Err(_)) => {}
        }
        if swapped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let observed = on_load_core(async move |tally| observe(&connector, &tally).await);
    let swaps = swaps.finish()??;
    let page = metrics::fetch(server.admin, "/metrics")?;
    let of = |series: &str| {
        let found = metrics::samples(&page).find(|sample| sample.series == series);
        found.map_or(0.0, |sample| sample.value)
    };
    let reloads = of("towline_tls_reloads_total{result=\"ok\"}");
    let errors = observed.as_ref().err().map(ToString::to_string);
    let rate = observed.as_ref().map_or(0.0, |seen| seen.lines as f64 / seen.seconds);
    let new = observed.as_ref().map_or(0, |seen| seen.new_connections);
    Ok(vec![
        Finding {
            demanded: "0 errors".into(),
            measured: errors.unwrap_or_else(|| format!("0 in {new} new and 100 open connections")),
            met: observed.is_ok(),
        },
        Finding {
            demanded: "≥ 9,000 verified lines a second".into(),
            measured: format!("{rate:.0}"),
            met: rate >= 9000.0,
        },
        Finding {
            demanded: format!("≥ {} certificates taken over", SWAPS - 1),
            measured: format!("{reloads} of {swaps} written"),
            met: reloads >= f64::from(SWAPS - 1),
        },
    ])
}

async fn observe(connector: &Connector, tally: &Rc<Tally>) -> Result<Observed, Error> {
    let new_connections = Rc::new(Cell::new(0));
    for (number, connection) in open(connector, CONNECTIONS).await?.into_iter().enumerate() {
        // One after the other, so that they do not send in bursts.
        let start = INTERVAL.mul_f64(number as f64 / f64::from(CONNECTIONS));
        let tally = tally.clone();
        spawn_local(async move {
            let Err(error) = paced(connection, number, start, &tally).await;
            tally.fail(&error);
        });
    }
    let (again, tally_of_new, counted) =
        (connector.clone(), tally.clone(), new_connections.clone());
    spawn_local(async move {
        loop {
            match connect_once(&again).await {
                Ok(()) => counted.set(counted.get() + 1),
                Err(error) => tally_of_new.fail(&error),
            }
            sleep(NEW_INTERVAL).await;
        }
    });
    let (began, before) = (Instant::now(), tally.lines());
    sleep(SWAP_INTERVAL * SWAPS).await;
    tally.check()?;
    let (lines, seconds) = (tally.lines() - before, began.elapsed().as_secs_f64());
    Ok(Observed { lines, new_connections: new_connections.get(), seconds })
}

/// Sends a line of its own each time, and expects exactly that line.
async fn paced(
    mut connection: Connection,
    number: usize,
    start: Duration,
    tally: &Tally,
) -> io::Result<std::convert::Infallible> {
    let mut ticks = interval_at(Instant::now() + start, INTERVAL);
    let mut reply = Vec::new();
    for count in 0_u64.. {
        ticks.tick().await;
        let line = format!("{number} {count}\n");
        connection.write_all(line.as_bytes()).await?;
        reply.resize(line.len(), 0);
        connection.read_exact(&mut reply).await?;
        if reply != line.as_bytes() {
            let reply = reply.escape_ascii();
            return Err(io::Error::other(format!("{line:?} was answered by {reply}")));
        }
        tally.add(1);
    }
    Err(io::Error::other("all numbers were sent"))
}

async fn connect_once(connector: &Connector) -> io::Result<()> {
    let mut connection = connector.connect().await?;
    exchange(&mut connection).await?;
    connection.shutdown().await
}
