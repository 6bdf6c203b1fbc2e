//! A load on a server, with everything that is recorded meanwhile.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use towline_load::{LoadError, Plan, Progress, Report, RunOptions, WorkerProgram};

use super::host::KernelCounters;
use super::sampler::{Sampler, Samples};
use super::server::Server;

/// How a load is run.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    /// Set by a signal: the load ends early.
    pub(super) interrupt: &'a Arc<AtomicBool>,
    /// Whether progress is left out.
    pub(super) quiet: bool,
    /// Interval between two samples of server, generator and host.
    pub(super) sample_interval: Duration,
}

/// What a load yielded.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) report: Report,
    pub(super) samples: Samples,
    /// Kernel counters that grew, and by how much.
    pub(super) kernel: BTreeMap<String, u64>,
    /// Processes of the server at the end, the supervisor included.
    pub(super) server_processes: usize,
}

/// Loads a server and stops it, whether the load succeeds or not.
pub(super) fn run(
    server: Server,
    plan: &Plan,
    conditions: &Conditions<'_>,
) -> Result<Recording, LoadError> {
    let options = RunOptions {
        worker: env::current_exe()
            .ok()
            .map(|program| WorkerProgram { program, arguments: crate::load::worker_arguments() }),
        interrupt: Arc::clone(conditions.interrupt),
        progress: if conditions.quiet { Progress::Quiet } else { Progress::Auto },
    };
    let server = Arc::new(server);
    let kernel = KernelCounters::read();
    let sampler = Sampler::start(&server, conditions.sample_interval);
    let report = towline_load::run(plan, &options);
    let samples = sampler.finish();
    let kernel = KernelCounters::read().moved_since(&kernel);
    let server_processes = server.processes().len();
    // The sampler has ended, so this is the only reference left.
    Arc::into_inner(server).into_iter().for_each(Server::stop);
    Ok(Recording { report: report?, samples, kernel, server_processes })
}
