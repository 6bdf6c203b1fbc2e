//! Publishes what was counted, when somebody asks.
//!
//! [`reader`] reads what one process counted into a [`Snapshot`], plain data; [`families`] gives it
//! names. Counters and gauges go through the `metrics` façade into `metrics-exporter-prometheus`, as
//! whole numbers set at scrape; nothing calls the façade while lines are served. Three kinds the
//! façade cannot hold are written by [`text`]: counters of seconds, which have fractions,
//! histograms, whose samples it would keep one by one until somebody scrapes, and facts whose labels
//! change, whose old series it would keep for ever.
//!
//! A scrape costs the same for one connection and for a million: it reads cells a shard, visits no
//! connection, and asks the kernel four small questions.

mod accept_queue;
mod counts_reader;
mod facade;
mod families;
mod family;
mod kernel;
mod overload;
mod process;
mod text;
mod user_metrics;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::facade::Handles;
pub use self::{counts_reader::CountsReader, process::ProcessUsage, user_metrics::UserMetrics};
use crate::counts::{Snapshot, Status};

/// Renders the metrics of one server.
pub(crate) struct Exporter {
    /// The TCP port lines are served on, to find its accept queue.
    port: Option<u16>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    // Kept open: a scrape must not need a descriptor when there are none.
    kernel: kernel::KernelReader,
    start_time_seconds: f64,
    /// Handles of the façade, made at the first scrape.
    handles: Option<Handles>,
    /// The highest value of each counter of seconds so far. A change of state may be stamped just
    /// before a scrape and written just after it, which would let a sum step back by that moment;
    /// Prometheus would take the step for a restart.
    seconds: text::Monotone,
}

/// What the host tells at a scrape.
struct HostFacts {
    kernel: kernel::Kernel,
    start_time_seconds: f64,
}

impl Exporter {
    pub(crate) fn new(port: Option<u16>) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self {
            port,
            recorder,
            handle,
            kernel: kernel::KernelReader::default(),
            start_time_seconds: ProcessUsage::default().start_time_seconds(),
            handles: None,
            seconds: text::Monotone::default(),
        }
    }

    /// The whole exposition, in Prometheus' text format 0.0.4. Snapshots must come in the order in
    /// which they were taken.
    pub(crate) fn render(&mut self, status: &Status, snapshot: &Snapshot) -> String {
        let host = HostFacts {
            kernel: self.kernel.read(self.port),
            start_time_seconds: self.start_time_seconds,
        };
        let families = families::of(status, snapshot, &host);
        self.handles.get_or_insert_with(|| Handles::new(&self.recorder, &families)).set(&families);
        let mut exposition = self.handle.render();
        text::write(&mut exposition, &families, &mut self.seconds);
        exposition
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}
