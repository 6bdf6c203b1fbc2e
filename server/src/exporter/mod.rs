//! Publishes what shards counted, when somebody asks.
//!
//! Counters and gauges go through the `metrics` façade into `metrics-exporter-prometheus`, as whole
//! numbers set at scrape; nothing calls the façade while lines are served. Two kinds the façade
//! cannot hold are written by [`text`]: counters of seconds, which have fractions, and histograms,
//! whose samples it would keep one by one until somebody scrapes.
//!
//! A scrape costs the same for one connection and for a million: it reads cells a shard, visits no
//! connection, and asks the kernel five small questions.

mod families;
mod kernel;
mod process;
mod text;

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    sync::{Arc, Mutex, PoisonError},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::families::{Families, Handles};
use crate::shared::Shared;

/// Renders the metrics of one server.
pub(crate) struct Exporter {
    shared: Arc<Shared>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    state: Mutex<State>,
}

/// What is remembered from scrape to scrape.
#[derive(Default)]
struct State {
    sources: Sources,
    /// Handles of the façade, made at the first scrape.
    handles: Option<Handles>,
    /// The highest value of each counter of seconds so far. A change of state may be stamped just
    /// before a scrape and written just after it, which would let a sum step back by that moment;
    /// Prometheus would take the step for a restart.
    seconds: text::Monotone,
}

/// Files of `/proc`, kept open: a scrape must not need a descriptor when there are none.
#[derive(Debug, Default)]
struct Sources {
    kernel: kernel::Source,
    process: process::Source,
}

impl Exporter {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { shared, recorder, handle, state: Mutex::default() }
    }

    /// The whole exposition, in Prometheus' text format 0.0.4.
    pub(crate) fn render(&self) -> String {
        // One scrape at a time, so that each sees numbers at least as new as the one before.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { sources, handles, seconds } = &mut *state;
        let families = Families::read(&self.shared, sources);
        handles.get_or_insert_with(|| Handles::new(&self.recorder, &families)).set(&families);
        let mut exposition = self.handle.render();
        text::write(&mut exposition, &families, seconds);
        exposition
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// A file of `/proc`, read anew each time; absent where the kernel has none.
#[derive(Debug)]
struct ProcFile(Option<File>);

impl ProcFile {
    fn open(path: &str) -> Self {
        Self(File::open(path).ok())
    }

    /// What it says now, from its beginning.
    fn rewound(&self) -> Option<&File> {
        let mut file = self.0.as_ref()?;
        file.rewind().ok()?;
        Some(file)
    }

    /// All it says now; nothing if it cannot be read.
    fn text(&self) -> String {
        let mut text = String::new();
        // What was read before an error is of no use.
        match self.rewound().map(|mut file| file.read_to_string(&mut text)) {
            Some(Ok(_)) => text,
            _ => String::new(),
        }
    }
}
