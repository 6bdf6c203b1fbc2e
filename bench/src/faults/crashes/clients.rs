//! Clients that compare every answer, and note each connection that was dropped under them.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{Error, client::connect_from};

/// Connections that stay and play ping-pong, so many on each of a few threads.
const STEADY: usize = 50;
const STEADY_THREADS: u8 = 4;
/// All of them come from here, and nobody else does.
const STEADY_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 90, 1);

/// Threads whose connections come, exchange a line and go, and the addresses each connects from.
const CHURN_THREADS: u8 = 2;
const CHURN_SOURCES: u8 = 40;

/// A server that is silent for longer has lost a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that ended before its client was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) client: SocketAddr,
    /// Whether a line had been answered on it: before, it may not have arrived anywhere yet.
    pub(super) answered: bool,
}

impl Dropped {
    pub(super) fn is_steady(&self) -> bool {
        is_steady(self.client)
    }
}

/// Whether it is one of those that stay.
pub(super) fn is_steady(client: SocketAddr) -> bool {
    client.ip() == STEADY_SOURCE
}

/// What all clients tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    dropped: Mutex<Vec<Dropped>>,
    /// Lines that were answered as they should be.
    pub(super) lines: AtomicU64,
    /// Connections of the churn that ended in order, the server's side first seen to be closed.
    pub(super) ended: AtomicU64,
    over: AtomicBool,
    /// Whether the churn is to pause, and how many of its threads do.
    calm: AtomicBool,
    calmed: AtomicU64,
}

impl Told {
    /// Those that were dropped since this was asked last.
    pub(super) fn dropped(&self) -> Vec<Dropped> {
        std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn drop(&self, client: SocketAddr, answered: bool) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.push(Dropped { client, answered });
    }

    /// One round trip of one connection.
    fn count(&self, lines: usize) {
        self.lines.fetch_add(lines as u64, SeqCst);
    }
}

/// Clients at work, until it is dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) told: Arc<Told>,
    threads: Vec<thread::JoinHandle<Result<(), String>>>,
}

impl Crowd {
    pub(super) fn start(addr: SocketAddr) -> Self {
        let told = Arc::<Told>::default();
        let steady = (0..STEADY_THREADS).map(|number| {
            let told = told.clone();
            thread::spawn(move || stay(number, addr, &told))
        });
        let churn = (0..CHURN_THREADS).map(|number| {
            let told = told.clone();
            thread::spawn(move || come_and_go(number, addr, &told))
        });
        let threads = steady.chain(churn).collect();
        Self { told, threads }
    }

    pub(super) const fn steady() -> usize {
        STEADY * STEADY_THREADS as usize
    }

    /// Has the churn pause, and waits until it does; or go on.
    pub(super) fn calm(&self, calm: bool) {
        self.told.calm.store(calm, SeqCst);
        let all = if calm { u64::from(CHURN_THREADS) } else { 0 };
        while self.told.calmed.load(SeqCst) != all && !self.is_over() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether some client gave up, which [`Self::end`] tells of.
    pub(super) fn is_over(&self) -> bool {
        self.threads.iter().any(thread::JoinHandle::is_finished)
    }

    /// Ends it; what one of them says that met something other than a dropped connection.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.told.over.store(true, SeqCst);
        let mut said = Ok(());
        for thread in self.threads.drain(..) {
            said = said.and(thread.join().map_err(|_panic| "a client panicked".to_owned())?);
        }
        Ok(said?)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.told.over.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// A client's connection.
struct Client {
    stream: TcpStream,
    addr: SocketAddr,
    answered: bool,
}

impl Client {
    fn connect(source: Ipv4Addr, addr: SocketAddr) -> Result<Self, String> {
        let connect = || -> io::Result<Self> {
            let stream = connect_from(source, addr)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Self { addr: stream.local_addr()?, stream, answered: false })
        };
        connect().map_err(|error| format!("a connect failed: {error}"))
    }

    /// Waits for the answer to a line; false if the connection is gone.
    fn hears(&mut self, line: &str) -> Result<bool, String> {
        let mut answer = vec![0; line.len()];
        match self.stream.read_exact(&mut answer) {
            Ok(()) if answer == line.as_bytes() => {
                self.answered = true;
                Ok(true)
            }
            Ok(()) => {
                Err(format!("{line:?} was answered with {:?}", String::from_utf8_lossy(&answer)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(format!("{line:?} was not answered on {}", self.addr))
            }
            Err(_dropped) => Ok(false),
        }
    }
}

fn stay(number: u8, addr: SocketAddr, told: &Told) -> Result<(), String> {
    let connect = || Client::connect(STEADY_SOURCE, addr);
    let mut clients = (0..STEADY).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let mut round = 0_u64;
    while !told.over.load(SeqCst) {
        round += 1;
        let line = |at: usize| format!("steady {number} {at} {round}\n");
        let mut sent = [false; STEADY];
        for (at, client) in clients.iter_mut().enumerate() {
            sent[at] = client.stream.write_all(line(at).as_bytes()).is_ok();
        }
        let mut heard = 0;
        for (at, client) in clients.iter_mut().enumerate() {
            if sent[at] && client.hears(&line(at))? {
                heard += 1;
            } else {
                told.drop(client.addr, client.answered);
                *client = connect()?;
            }
        }
        told.count(heard);
    }
    Ok(())
}

fn come_and_go(number: u8, addr: SocketAddr, told: &Told) -> Result<(), String> {
    let mut round = 0_u64;
    while !told.over.load(SeqCst) {
        if told.calm.load(SeqCst) {
            told.calmed.fetch_add(1, SeqCst);
            while told.calm.load(SeqCst) && !told.over.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            told.calmed.fetch_sub(1, SeqCst);
        }
        round += 1;
        let last = 1 + (round % u64::from(CHURN_SOURCES)) as u8;
        let mut client = Client::connect(Ipv4Addr::new(127, 0, 100 + number, last), addr)?;
        let line = format!("churn {number} {round}\n");
        if client.stream.write_all(line.as_bytes()).is_err() || !client.hears(&line)? {
            told.drop(client.addr, client.answered);
            continue;
        }
        told.count(1);
        // The server's end closes second, so its books are closed when this is seen.
        let closed = client.stream.shutdown(Shutdown::Write);
        match closed.and_then(|()| client.stream.read(&mut [0])) {
            Ok(0) => {
                told.ended.fetch_add(1, SeqCst);
            }
            Ok(_) => return Err("more came back than was sent".to_owned()),
            Err(_reset) => told.drop(client.addr, client.answered),
        }
    }
    Ok(())
}
