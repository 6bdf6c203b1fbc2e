//! The log: on standard error, as `log.level` and `log.format` say.
//!
//! A thread that logs never waits for the reader of the log: lines go through the bounded queue of a
//! [`Sink`]. Lines that find it full are dropped, counted and reported.

mod sink;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal as _},
    panic,
};

pub(crate) use sink::FlushGuard;
use sink::Sink;
use towline_config::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// Why the log could not be set up.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The level of the log, which a reload can change.
#[derive(Debug)]
pub(crate) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// From now on logs `level` and more severe levels only.
    pub(crate) fn set(&self, level: LogLevel) {
        // Fails only if the subscriber is gone, and then there is no log to say so.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging for the rest of the process. The guard writes what is queued at the end.
///
/// # Errors
/// When a thread cannot be started, or a log has been started already.
pub(crate) fn start(log: Log) -> Result<(Level, FlushGuard), Error> {
    let (level, handle) = reload::Layer::new(filter(log.level));
    let (sink, guard) = Sink::start(io::stderr(), report_dropped)
        .map_err(|error| format!("the thread of the log cannot be started: {error}"))?;
    let lines = fmt::layer().with_writer(sink);
    let lines = match log.format {
        // Colours on a terminal only, and not where https://no-color.org turns them off.
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        _ => lines
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .boxed(),
    };
    tracing_subscriber::registry().with(level).with(lines).try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok((Level(handle), guard))
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

fn report_dropped(lines: u64) {
    tracing::warn!(lines, "log lines dropped: more were logged than could be written");
}

/// Logs a panic. The standard hook writes to standard error itself, where a reader that has stopped
/// would block the thread with all its connections, as often as a client makes a service panic. The
/// message is escaped, because it may contain what a client sent.
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
