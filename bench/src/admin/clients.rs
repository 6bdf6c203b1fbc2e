//! Those who are at the admin port: a process of its own, which takes what the load leaves of its core.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Command, Stdio},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
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
    child::{LOAD_CORE, Owned, on_core},
};

/// What they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Doing {
    /// One asks for the metrics once a second, as a Prometheus in earnest would at most.
    Scrape,
    /// All of the following at once.
    Abuse,
    /// Never finish asking: a byte now and then.
    Slow,
    /// Ask for the metrics without a pause.
    Greedy,
    /// Send what is no HTTP.
    Noise,
    /// Send heads without an end.
    Heads,
}

const SLOW: u64 = 1000;
const GREEDY: u64 = 10;
const NOISY: u64 = 3;
const LONG_HEADED: u64 = 3;

/// Between two bytes of a slow client.
const TRICKLE: Duration = Duration::from_millis(250);

/// Between two scrapes of an honest one.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

/// What they had of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Had {
    /// Connections they made.
    pub(super) connections: u64,
    /// Scrapes that were answered.
    pub(super) answers: u64,
}

/// The process, until dropped.
#[derive(Debug)]
pub(super) struct Clients(Owned);

impl Clients {
    /// At the admin port, or at none: then they do the same to a decoy among themselves.
    ///
    /// They have machines of their own; here they are to have what nobody else wants of one, so that
    /// lines are not lost to a load that they kept from its core.
    pub(super) fn start(
        admin: Option<SocketAddr>,
        doing: Doing,
    ) -> std::result::Result<Self, Error> {
        let name = clap::ValueEnum::to_possible_value(&doing).ok_or("nothing to do")?;
        let mut command = Command::new("chrt");
        command
            .args(["--idle", "0"])
            .arg(std::env::current_exe()?)
            .args(["clients", name.get_name()])
            .args(admin.map(|admin| admin.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let child = on_core(LOAD_CORE, || command.spawn());
        Ok(Self(Owned(child.map_err(|error| format!("cannot start chrt(1): {error}"))?)))
    }

    /// Has them go, and tell what they had.
    pub(super) fn finish(mut self) -> std::result::Result<Had, Error> {
        drop(self.0.0.stdin.take());
        let mut said = String::new();
        BufReader::new(self.0.0.stdout.take().ok_or("no pipe")?).read_line(&mut said)?;
        serde_json::from_str(&said).map_err(|error| format!("the clients ended ({error})").into())
    }
}

/// The life of that process: until its standard input ends.
pub(crate) fn run(admin: Option<SocketAddr>, doing: Doing) -> std::result::Result<(), Error> {
    let (over, is_over) = oneshot::channel();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = over.send(());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = Rc::new(Tally::default());
    task::LocalSet::new().block_on(&runtime, async {
        let admin = match admin {
            Some(admin) => admin,
            None => decoy::listen().await?,
        };
        let are = |kind| doing == kind || doing == Doing::Abuse;
        if doing == Doing::Scrape {
            crowd(1, &tally, move |tally, _| async move {
                let _ = scrape(admin, &tally).await;
                time::sleep(SCRAPE_INTERVAL).await;
            });
        }
        if are(Doing::Slow) {
            crowd(SLOW, &tally, move |tally, number| async move {
                let _ = trickle(admin, &tally, number).await;
            });
        }
        if are(Doing::Greedy) {
            crowd(GREEDY, &tally, move |tally, _| async move {
                let _ = scrape(admin, &tally).await;
            });
        }
        if are(Doing::Noise) {
            crowd(NOISY, &tally, move |tally, number| async move {
                let _ = pour(admin, &tally, b"", &noise(number)).await;
            });
        }
        if are(Doing::Heads) {
            crowd(LONG_HEADED, &tally, move |tally, _| async move {
                let _ =
                    pour(admin, &tally, b"GET /metrics HTTP/1.1\r\nx: ", &[b'a'; 64 << 10]).await;
            });
        }
        let _ = is_over.await;
        Ok::<_, Error>(())
    })?;
    println!("{}", serde_json::to_string(&tally.had())?);
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    answers: AtomicU64,
}

impl Tally {
    fn had(&self) -> Had {
        Had { connections: self.connections.load(Relaxed), answers: self.answers.load(Relaxed) }
    }

    async fn connect(&self, admin: SocketAddr) -> Result<TcpStream> {
        let stream = TcpStream::connect(admin).await?;
        // No TIME_WAIT: there would soon be no port left to come back from.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        self.connections.fetch_add(1, Relaxed);
        Ok(stream)
    }
}

/// So many who do it again and again.
fn crowd<F: Future + 'static>(
    count: u64,
    tally: &Rc<Tally>,
    act: impl Fn(Rc<Tally>, u64) -> F + Copy + 'static,
) {
    for number in 0..count {
        let tally = tally.clone();
        task::spawn_local(async move {
            loop {
                act(tally.clone(), number).await;
                task::yield_now().await;
            }
        });
    }
}

async fn scrape(admin: SocketAddr, tally: &Tally) -> Result<()> {
    let mut stream = tally.connect(admin).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    tally.answers.fetch_add(u64::from(answer.starts_with(b"HTTP/1.1 200 ")), Relaxed);
    Ok(())
}

async fn trickle(admin: SocketAddr, tally: &Tally, number: u64) -> Result<()> {
    let mut stream = tally.connect(admin).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await?;
    // Not all at once.
    time::sleep(TRICKLE * number as u32 / SLOW as u32).await;
    loop {
        match time::timeout(TRICKLE, stream.read(&mut [0; 256])).await {
            Ok(Ok(1..)) => {}
            Ok(_ended) => return Ok(()),
            Err(_elapsed) => stream.write_all(b"a").await?,
        }
    }
}

/// Sends on and on, until the other end has had enough.
async fn pour(admin: SocketAddr, tally: &Tally, first: &[u8], then: &[u8]) -> Result<()> {
    let mut stream = tally.connect(admin).await?;
    stream.write_all(first).await?;
    loop {
        stream.write_all(then).await?;
        task::yield_now().await;
    }
}

/// Bytes of no meaning (xorshift), other ones for everybody.
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
