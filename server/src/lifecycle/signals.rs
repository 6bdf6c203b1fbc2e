//! The signals that a server handles. Handlers stay installed until the process exits.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that start a drain: SIGTERM, SIGINT, SIGQUIT.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    /// Drains as in other servers; its default action dumps core in the middle of a line.
    quit: Signal,
}

impl StopSignals {
    /// Installs the handlers. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for one of the signals, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

/// The signal that reloads the settings: SIGHUP.
#[derive(Debug)]
pub struct HangUpSignal(Signal);

impl HangUpSignal {
    /// Installs the handler. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the signal. Several since the last call count as one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
