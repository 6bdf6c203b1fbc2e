//! Threads that each run one future.

use std::{io, thread, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};

use crate::RunError;

/// How long threads may take to end after they were told to. A thread that takes longer runs a
/// service that never awaits; the process ends without it.
const THREADS_END_MAX: Duration = Duration::from_secs(1);

/// Starts a thread with a current-thread runtime that runs `future`.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn run(
    name: &str,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    start(name, &mut Builder::new_current_thread(), future)
}

/// Like [`run`], and calls `before_park` each time before the thread parks.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn run_with_hook(
    name: &str,
    before_park: impl Fn() + Send + Sync + 'static,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    start(name, Builder::new_current_thread().on_thread_park(before_park), future)
}

fn start(
    name: &str,
    builder: &mut Builder,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    let runtime = builder.enable_all().build();
    runtime
        .and_then(|runtime| run_on(name, runtime, || future))
        .map_err(|error| RunError::failed("a thread cannot be started", &error))
}

/// Starts a thread on which `runtime` runs the future that `start` returns there.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn run_on<F: Future<Output = ()>>(
    name: &str,
    runtime: Runtime,
    start: impl FnOnce() -> F + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let mut unstarted = Unstarted(Some(runtime));
    thread::Builder::new().name(name.into()).spawn(move || {
        if let Some(runtime) = unstarted.0.take() {
            runtime.block_on(start());
        }
    })
}

/// A runtime whose thread has not started. Where the thread cannot be started, dropping the runtime
/// itself would wait for its blocking tasks: on a thread that runs another runtime, as both the
/// supervisor's and a worker's first thread do, that panics.
struct Unstarted(Option<Runtime>);

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes a current-thread runtime for the calling thread.
///
/// # Errors
/// When there is no descriptor left for it.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Waits until all threads have ended, for at most a second.
pub async fn end(threads: &[thread::JoinHandle<()>]) {
    let deadline = Instant::now() + THREADS_END_MAX;
    while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
}
