//! Exports metrics when they are scraped.
//!
//! [`CountsReader`] reads the counts of one process into a [`Snapshot`], which is plain data;
//! [`mod@families`] gives the numbers names. Counters and gauges go through the `metrics` façade into
//! `metrics-exporter-prometheus`: their values are set at scrape, and the façade is not called while
//! lines are served. [`text`] writes three types that the façade cannot hold: counters of seconds,
//! which have fractions; histograms, of which it would keep every sample until the next scrape; and
//! information in labels that change, of which it would keep the old series for ever.
//!
//! A scrape costs the same for one connection and for a million: it reads some cells of each shard,
//! visits no connection, and makes eight small requests to the kernel.

mod commands;
mod counts_reader;
mod facade;
mod families;
mod family;
mod kernel;
mod overload;
mod process;
mod pushes;
mod text;
mod tls;
mod user_metrics;
mod workers;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::{counts_reader::CountsReader, process::ProcessUsage, user_metrics::UserMetrics};
use self::{facade::Handles, families::families};
use crate::counts::{Snapshot, Status};

/// Renders the metrics of one server.
pub(crate) struct Exporter {
    /// The TCP ports of the lines, to find their accept queues.
    ports: Vec<u16>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    // Its descriptors stay open, so that a scrape needs none when there are none.
    kernel: kernel::KernelReader,
    start_time_seconds: f64,
    /// Handles of the façade, registered at the first scrape.
    handles: Option<Handles>,
    /// A change of state may be stamped just before a scrape and written just after it. The sum would
    /// step back by that time, and Prometheus would take the step for a restart.
    seconds: text::Monotone,
}

/// What a scrape reads from the host.
struct HostFacts {
    kernel: kernel::Kernel,
    start_time_seconds: f64,
}

impl Exporter {
    pub(crate) fn new(ports: Vec<u16>) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self {
            ports,
            recorder,
            handle,
            kernel: kernel::KernelReader::default(),
            start_time_seconds: ProcessUsage::default().start_time_seconds(),
            handles: None,
            seconds: text::Monotone::default(),
        }
    }

    /// All metrics in Prometheus' text format 0.0.4. Snapshots must be rendered in the order in which
    /// they were taken.
    pub(crate) fn render(&mut self, status: &Status, snapshot: &Snapshot) -> String {
        let host = HostFacts {
            kernel: self.kernel.read(&self.ports),
            start_time_seconds: self.start_time_seconds,
        };
        let families = families(status, snapshot, &host);
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
