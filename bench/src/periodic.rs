//! Work that a thread repeats at an interval.

use std::{
    ops::ControlFlow,
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::Error;

/// A thread that repeats its work until its result is asked for.
#[derive(Debug)]
pub(crate) struct Periodic<T> {
    /// Dropped to end the thread.
    stop: SyncSender<()>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Periodic<T> {
    /// Calls `work` at once and then at the interval, until it breaks or [`Self::finish`] is called.
    pub(crate) fn start(
        interval: Duration,
        mut result: T,
        mut work: impl FnMut(&mut T) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::sync_channel(0);
        let thread = thread::spawn(move || {
            while work(&mut result).is_continue()
                && stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
            {}
            result
        });
        Self { stop, thread }
    }

    /// Ends the thread and returns its result.
    pub(crate) fn finish(self) -> Result<T, Error> {
        drop(self.stop);
        Ok(self.thread.join().map_err(|_panic| "a periodic thread panicked")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_at_once_and_ends_when_it_breaks() {
        let counted = Periodic::start(Duration::from_millis(1), 0, |count| {
            *count += 1;
            if *count < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        while !counted.thread.is_finished() {
            thread::yield_now();
        }
        assert_eq!(counted.finish().expect("a count"), 3);
        let once = Periodic::start(Duration::from_secs(3600), 0, |count| {
            *count += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(once.finish().expect("a count"), 1);
    }
}
