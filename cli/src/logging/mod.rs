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
use tracing_subscriber::fmt;

/// Why the log could not be set up.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Starts logging for the rest of the process. What is still to be written then, [`Flush`] writes.
pub(crate) fn start(log: Log) -> Result<Flush, Error> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let (sink, flush) = Sink::start(io::stderr(), tell_of_dropped)?;
    let subscriber = fmt().with_max_level(level).with_writer(sink);
    match log.format {
        // Colours only for eyes; https://no-color.org asks to be heeded too.
        LogFormat::Text => subscriber
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }?;
    panic::set_hook(Box::new(log_panic));
    Ok(flush)
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
