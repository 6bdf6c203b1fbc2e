//! Threads that each run one future.

use std::{io, thread, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};

use crate::RunError;

/// How long threads may take to end after everything was told to. One that doesn't is running a
/// service that never awaits; the process ends without it.
const THREADS_END: Duration = Duration::from_secs(1);

/// A thread with a current-thread runtime that runs one future.
pub fn run(
    name: &str,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    start(name, &mut Builder::new_current_thread(), future)
}

/// The same, and whenever it has nothing to do it rests before it waits for something.
pub fn run_and_rest(
    name: &str,
    rest: impl Fn() + Send + Sync + 'static,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    start(name, Builder::new_current_thread().on_thread_park(rest), future)
}

fn start(
    name: &str,
    builder: &mut Builder,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    builder
        .enable_all()
        .build()
        .and_then(|runtime| {
            thread::Builder::new().name(name.into()).spawn(move || runtime.block_on(future))
        })
        .map_err(|error| RunError::failed("a thread cannot be started", &error))
}

/// A runtime for the calling thread.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Waits until all have ended, for as long as they may take.
pub async fn end(threads: &[thread::JoinHandle<()>]) {
    let ended = Instant::now() + THREADS_END;
    while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < ended {
        sleep(Duration::from_millis(1)).await;
    }
}
