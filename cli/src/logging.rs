//! The log: on standard error, as `log.level` and `log.format` say.

use std::io::{self, IsTerminal as _};

use towline_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// Why the log could not be set up.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much is logged, which can be changed.
pub(crate) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Logs `level` and what is more serious from now on.
    pub(crate) fn set(&self, level: LogLevel) {
        // Fails when the log is gone, and with it whoever could be told.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging for the rest of the process.
pub(crate) fn start(log: Log) -> Result<Level, Error> {
    let (level, handle) = reload::Layer::new(filter(log.level));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        // Colours only for eyes; https://no-color.org asks to be heeded too.
        LogFormat::Text => lines
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(level).with(lines).try_init()?;
    Ok(Level(handle))
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
