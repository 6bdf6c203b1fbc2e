//! The log: on standard error, as `log.level` and `log.format` say.

use std::io::{self, IsTerminal as _};

use towline_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// Why the log could not be set up.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Starts logging for the rest of the process.
pub(crate) fn start(log: Log) -> Result<(), Error> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = fmt().with_max_level(level).with_writer(io::stderr);
    match log.format {
        // Colours only for eyes; https://no-color.org asks to be heeded too.
        LogFormat::Text => subscriber
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
}
