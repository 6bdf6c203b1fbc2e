//! A Prometheus stand-in: asks for the metrics once a second, as a scraper in earnest would at most.

use std::{
    io,
    net::SocketAddr,
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{Error, metrics};

const INTERVAL: Duration = Duration::from_secs(1);

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
    let answer = metrics::fetch(admin)?;
    if answer.contains("\ntowline_lines_received_total ") {
        return Ok(());
    }
    Err(io::Error::other("/metrics tells of no lines"))
}
