//! Clients that compare every reply and record each connection that the server dropped.

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

/// Steady connections play ping-pong until the end: this many on each of a few threads.
const STEADY: usize = 50;
const STEADY_THREADS: u8 = 4;
/// The source address of all steady connections, and of no others.
const STEADY_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 90, 1);

/// Threads of the churn, whose connections exchange one line each, and source addresses of each.
const CHURN_THREADS: u8 = 2;
const CHURN_SOURCES: u8 = 40;

/// Longest wait for a reply; a later one counts as lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that ended before its client closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) client: SocketAddr,
    /// Whether a line had been answered on it. Before that, no worker may have received it yet.
    pub(super) answered: bool,
}

impl Dropped {
    pub(super) fn is_steady(&self) -> bool {
        is_steady(self.client)
    }
}

/// Whether the connection of this client address is a steady one.
pub(super) fn is_steady(client: SocketAddr) -> bool {
    client.ip() == STEADY_SOURCE
}

/// What all clients record, and the flags that control them.
#[derive(Debug, Default)]
pub(super) struct ClientRecords {
    dropped: Mutex<Vec<Dropped>>,
    /// Lines with the right reply.
    lines: AtomicU64,
    /// Connections of the churn that ended in order, after the server was seen to close its side.
    ended: AtomicU64,
    stop: AtomicBool,
    /// Whether the churn is to pause, and how many of its threads do.
    pause: AtomicBool,
    paused: AtomicU64,
}

impl ClientRecords {
    /// Takes the connections dropped since the last call.
    pub(super) fn take_dropped(&self) -> Vec<Dropped> {
        std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines.load(SeqCst)
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended.load(SeqCst)
    }

    fn add_dropped(&self, client: &Client) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.push(Dropped { client: client.addr, answered: client.answered });
    }

    fn add_lines(&self, lines: usize) {
        self.lines.fetch_add(lines as u64, SeqCst);
    }
}

/// Running clients, stopped when this is dropped.
#[derive(Debug)]
pub(super) struct CheckingClients {
    pub(super) records: Arc<ClientRecords>,
    threads: Vec<thread::JoinHandle<Result<(), String>>>,
}

impl CheckingClients {
    pub(super) fn start(addr: SocketAddr) -> Self {
        let records = Arc::<ClientRecords>::default();
        let steady = (0..STEADY_THREADS).map(|number| {
            let records = records.clone();
            thread::spawn(move || run_steady(number, addr, &records))
        });
        let churn = (0..CHURN_THREADS).map(|number| {
            let records = records.clone();
            thread::spawn(move || run_churn(number, addr, &records))
        });
        let threads = steady.chain(churn).collect();
        Self { records, threads }
    }

    /// Number of steady connections.
    pub(super) const fn steady() -> usize {
        STEADY * STEADY_THREADS as usize
    }

    /// Pauses or resumes the churn, and waits until its threads have done so.
    pub(super) fn pause_churn(&self, pause: bool) {
        self.records.pause.store(pause, SeqCst);
        let threads = if pause { u64::from(CHURN_THREADS) } else { 0 };
        while self.records.paused.load(SeqCst) != threads && !self.has_failed() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a client gave up; [`Self::stop`] returns the reason.
    pub(super) fn has_failed(&self) -> bool {
        self.threads.iter().any(thread::JoinHandle::is_finished)
    }

    /// Stops the clients.
    ///
    /// # Errors
    /// When a client met something other than a dropped connection, such as a wrong reply.
    pub(super) fn stop(mut self) -> Result<(), Error> {
        self.records.stop.store(true, SeqCst);
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            result = result.and(thread.join().map_err(|_panic| "a client panicked".to_owned())?);
        }
        Ok(result?)
    }
}

impl Drop for CheckingClients {
    fn drop(&mut self) {
        self.records.stop.store(true, SeqCst);
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
            stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
            Ok(Self { addr: stream.local_addr()?, stream, answered: false })
        };
        connect().map_err(|error| format!("a connect failed: {error}"))
    }

    /// Waits for the echo of `line`; `false` if the connection is gone.
    fn read_echo(&mut self, line: &str) -> Result<bool, String> {
        let mut reply = vec![0; line.len()];
        match self.stream.read_exact(&mut reply) {
            Ok(()) if reply == line.as_bytes() => {
                self.answered = true;
                Ok(true)
            }
            Ok(()) => {
                Err(format!("{line:?} was answered with {:?}", String::from_utf8_lossy(&reply)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(format!("{line:?} was not answered on {}", self.addr))
            }
            Err(_dropped) => Ok(false),
        }
    }
}

fn run_steady(number: u8, addr: SocketAddr, records: &ClientRecords) -> Result<(), String> {
    let connect = || Client::connect(STEADY_SOURCE, addr);
    let mut clients = (0..STEADY).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let mut round = 0_u64;
    while !records.stop.load(SeqCst) {
        round += 1;
        let line = |at: usize| format!("steady {number} {at} {round}\n");
        let mut sent = [false; STEADY];
        for (at, client) in clients.iter_mut().enumerate() {
            sent[at] = client.stream.write_all(line(at).as_bytes()).is_ok();
        }
        let mut answered = 0;
        for (at, client) in clients.iter_mut().enumerate() {
            if sent[at] && client.read_echo(&line(at))? {
                answered += 1;
            } else {
                records.add_dropped(client);
                *client = connect()?;
            }
        }
        records.add_lines(answered);
    }
    Ok(())
}

fn run_churn(number: u8, addr: SocketAddr, records: &ClientRecords) -> Result<(), String> {
    let mut round = 0_u64;
    while !records.stop.load(SeqCst) {
        if records.pause.load(SeqCst) {
            records.paused.fetch_add(1, SeqCst);
            while records.pause.load(SeqCst) && !records.stop.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            records.paused.fetch_sub(1, SeqCst);
        }
        round += 1;
        let last = 1 + (round % u64::from(CHURN_SOURCES)) as u8;
        let mut client = Client::connect(Ipv4Addr::new(127, 0, 100 + number, last), addr)?;
        let line = format!("churn {number} {round}\n");
        if client.stream.write_all(line.as_bytes()).is_err() || !client.read_echo(&line)? {
            records.add_dropped(&client);
            continue;
        }
        records.add_lines(1);
        // The server closes second, so it has counted the connection as closed when this is seen.
        let closed = client.stream.shutdown(Shutdown::Write);
        match closed.and_then(|()| client.stream.read(&mut [0])) {
            Ok(0) => {
                records.ended.fetch_add(1, SeqCst);
            }
            Ok(_) => return Err("more came back than was sent".to_owned()),
            Err(_reset) => records.add_dropped(&client),
        }
    }
    Ok(())
}
