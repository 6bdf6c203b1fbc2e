//! The signals a server answers. Handlers stay installed for the life of the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that say to stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// Others stop in order on it too, and its own default is to dump core in the middle of a line.
    quit: Signal,
}

impl StopSignals {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for one, and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

/// The one that says to load the settings again.
#[derive(Debug)]
pub struct HangUpSignal(Signal);

impl HangUpSignal {
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for one. Those that came since the last time are one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
