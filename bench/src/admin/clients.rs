//! Clients of the admin port, in a process of their own that gets the CPU time that the load leaves.

use std::{
    cell::Cell,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Command, Stdio},
    rc::Rc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Result},
    net::TcpStream,
    sync::oneshot,
    task, time,
};

use super::decoy;
use crate::{
    Error,
    child::{ChildGuard, LOAD_CORE, on_core},
};

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Activity {
    /// One scrapes every second, as often as a Prometheus does at most.
    Scrape,
    /// All of the following at once.
    Abuse,
    /// Send a byte of a request now and then, and never its end.
    Slow,
    /// Scrape without a pause.
    Greedy,
    /// Send random bytes.
    Noise,
    /// Send request heads without an end.
    Heads,
}

/// Clients of each activity.
const SLOW: u64 = 1000;
const GREEDY: u64 = 10;
const NOISY: u64 = 3;
const LONG_HEADED: u64 = 3;

/// Interval between two bytes of a slow client.
const TRICKLE_INTERVAL: Duration = Duration::from_millis(250);

/// Interval between two scrapes of `Activity::Scrape`.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// Sums over all clients of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ClientTotals {
    /// Connections made.
    pub(super) connections: u64,
    /// Scrapes answered.
    pub(super) answers: u64,
}

/// The process with the clients, killed when this is dropped.
#[derive(Debug)]
pub(super) struct ClientProcess(ChildGuard);

impl ClientProcess {
    /// Starts clients of the admin port `admin`, or of a decoy in their own process.
    ///
    /// Real clients have other machines; these run at the idle priority, so that they do not take the
    /// core from the load and cost lines by that.
    pub(super) fn start(
        admin: Option<SocketAddr>,
        activity: Activity,
    ) -> std::result::Result<Self, Error> {
        let name = clap::ValueEnum::to_possible_value(&activity).ok_or("a hidden activity")?;
        let mut command = Command::new("chrt");
        command
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .args(["clients", name.get_name()])
            .args(admin.map(|admin| admin.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let child = on_core(LOAD_CORE, || command.spawn());
        Ok(Self(ChildGuard(child.map_err(|error| format!("cannot start chrt(1): {error}"))?)))
    }

    /// Ends the clients and returns their totals.
    pub(super) fn finish(mut self) -> std::result::Result<ClientTotals, Error> {
        drop(self.0.0.stdin.take());
        let mut line = String::new();
        BufReader::new(self.0.0.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|error| format!("the clients ended ({error})").into())
    }
}

/// The main function of that process: runs the clients until standard input ends.
pub(crate) fn run(admin: Option<SocketAddr>, activity: Activity) -> std::result::Result<(), Error> {
    let (stop, stopped) = oneshot::channel();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = stop.send(());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let totals = Rc::new(Cell::new(ClientTotals::default()));
    task::LocalSet::new().block_on(&runtime, async {
        let admin = match admin {
            Some(admin) => admin,
            None => decoy::listen().await?,
        };
        let includes = |kind| activity == kind || activity == Activity::Abuse;
        if activity == Activity::Scrape {
            spawn_clients(1, &totals, move |totals, _| async move {
                let _ = scrape(admin, &totals).await;
                time::sleep(SCRAPE_INTERVAL).await;
            });
        }
        if includes(Activity::Slow) {
            spawn_clients(SLOW, &totals, move |totals, number| async move {
                let _ = trickle(admin, &totals, number).await;
            });
        }
        if includes(Activity::Greedy) {
            spawn_clients(GREEDY, &totals, move |totals, _| async move {
                let _ = scrape(admin, &totals).await;
            });
        }
        if includes(Activity::Noise) {
            spawn_clients(NOISY, &totals, move |totals, number| async move {
                let _ = pour(admin, &totals, b"", &noise(number)).await;
            });
        }
        if includes(Activity::Heads) {
            spawn_clients(LONG_HEADED, &totals, move |totals, _| async move {
                let head = b"GET /metrics HTTP/1.1\r\nx: ";
                let _ = pour(admin, &totals, head, &[b'a'; 64 << 10]).await;
            });
        }
        let _ = stopped.await;
        Ok::<_, Error>(())
    })?;
    println!("{}", serde_json::to_string(&totals.get())?);
    Ok(())
}

type Totals = Rc<Cell<ClientTotals>>;

fn add(totals: &Totals, connections: u64, answers: u64) {
    let sum = totals.get();
    totals.set(ClientTotals {
        connections: sum.connections + connections,
        answers: sum.answers + answers,
    });
}

async fn connect(admin: SocketAddr, totals: &Totals) -> Result<TcpStream> {
    let stream = TcpStream::connect(admin).await?;
    // Reset instead of TIME_WAIT, which would soon use up the ports.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    add(totals, 1, 0);
    Ok(stream)
}

/// Spawns `count` clients that call `act` with their number again and again.
fn spawn_clients<F: Future + 'static>(
    count: u64,
    totals: &Totals,
    act: impl Fn(Totals, u64) -> F + Copy + 'static,
) {
    for number in 0..count {
        let totals = totals.clone();
        task::spawn_local(async move {
            loop {
                act(totals.clone(), number).await;
                task::yield_now().await;
            }
        });
    }
}

async fn scrape(admin: SocketAddr, totals: &Totals) -> Result<()> {
    let mut stream = connect(admin, totals).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    add(totals, 0, u64::from(answer.starts_with(b"HTTP/1.1 200 ")));
    Ok(())
}

async fn trickle(admin: SocketAddr, totals: &Totals, number: u64) -> Result<()> {
    let mut stream = connect(admin, totals).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await?;
    // Spreads the clients over the interval.
    time::sleep(TRICKLE_INTERVAL * number as u32 / SLOW as u32).await;
    loop {
        match time::timeout(TRICKLE_INTERVAL, stream.read(&mut [0; 256])).await {
            Ok(Ok(1..)) => {}
            Ok(_ended) => return Ok(()),
            Err(_elapsed) => stream.write_all(b"a").await?,
        }
    }
}

/// Sends `first` and then `block` again and again, until the server closes the connection.
async fn pour(admin: SocketAddr, totals: &Totals, first: &[u8], block: &[u8]) -> Result<()> {
    let mut stream = connect(admin, totals).await?;
    stream.write_all(first).await?;
    loop {
        stream.write_all(block).await?;
        task::yield_now().await;
    }
}

/// Pseudo-random bytes (xorshift), different for each client.
fn noise(number: u64) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15 ^ (number + 1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(8 << 10).flatten().collect()
}
