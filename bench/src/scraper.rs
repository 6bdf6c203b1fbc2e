//! A Prometheus stand-in: asks for the metrics once a second, as a scraper in earnest would at most.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::Error;

const INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Scraper {
    /// Dropped to end the scraping.
    over: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Scraper {
    pub(crate) fn start(admin: SocketAddr) -> Self {
        let (over, is_over) = mpsc::sync_channel(0);
        let thread = thread::spawn(move || {
            loop {
                scrape(admin)?;
                if is_over.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return Ok(());
                }
            }
        });
        Self { over, thread }
    }

    /// Ends it, and fails when a scrape did.
    pub(crate) fn finish(self) -> Result<(), Error> {
        drop(self.over);
        Ok(self.thread.join().map_err(|_panic| "the scraper panicked")??)
    }
}

fn scrape(admin: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.contains("\ntowline_lines_received_total ") {
        return Ok(());
    }
    let first = answer.lines().next().unwrap_or_default();
    Err(io::Error::other(format!("/metrics answered {first:?}")))
}
