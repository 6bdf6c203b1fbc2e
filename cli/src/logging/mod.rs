//! The log: on standard error, as `log.level` and `log.format` say.
//!
//! Whoever logs never waits for whoever reads the log: lines go through a [`Sink`], and those that
//! find it full are counted and told of instead.

mod sink;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal as _},
    panic,
};

pub(crate) use sink::Flush;
use sink::Sink;
use towline_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// Why the log could not be set up.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much is logged, which can be changed.
#[derive(Debug)]
pub(crate) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Logs `level` and what is more serious from now on.
    pub(crate) fn set(&self, level: LogLevel) {
        // Fails when the log is gone, and with it whoever could be told.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging for the rest of the process. What is still to be written then, [`Flush`] writes.
pub(crate) fn start(log: Log) -> Result<(Level, Flush), Error> {
    let (level, handle) = reload::Layer::new(filter(log.level));
    let (sink, flush) = Sink::start(io::stderr(), tell_of_dropped)?;
    let lines = fmt::layer().with_writer(sink);
    let lines = match log.format {
        // Colours only for eyes; https://no-color.org asks to be heeded too.
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        _ => lines
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .boxed(),
    };
    tracing_subscriber::registry().with(level).with(lines).try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok((Level(handle), flush))
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    }
}

fn tell_of_dropped(lines: u64) {
    tracing::warn!(lines, "log lines dropped: more came than are written or read");
}

/// A service may panic as often as a peer likes, and the standard hook writes to standard error
/// itself: a reader that stopped would hold the thread, and every connection on it. What a panic
/// says is escaped, because it may say what a peer sent.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let said = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(?said, %place, %backtrace, "panicked"),
        _ => tracing::error!(?said, %place, "panicked"),
    }
}
