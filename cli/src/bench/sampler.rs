//! Looks at the server while it is under load, so that any stretch of the run can be accounted for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::server_counters::Accounts;
use crate::bench::server::{Server, Usage};

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// The server at a moment; everything but memory and queue only grows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Seconds since 1970.
    pub(super) at: f64,
    pub(super) usage: Usage,
    pub(super) accounts: Accounts,
}

/// A thread that takes samples until it is asked for them.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    pub(super) fn start(server: &Arc<Server>) -> Self {
        let (stop, stopped) = sync_channel(1);
        let server = Arc::clone(server);
        let thread = thread::spawn(move || watch(&server, &stopped));
        Self { stop, thread }
    }

    /// Takes a last sample and returns them all.
    pub(super) fn finish(self) -> Course {
        // Fails only if the thread has ended already, and then there is nobody to tell.
        let _ = self.stop.send(());
        Course(self.thread.join().unwrap_or_default())
    }
}

fn watch(server: &Server, stopped: &Receiver<()>) -> Vec<Sample> {
    let mut samples = Vec::new();
    loop {
        samples.extend(look(server));
        match stopped.recv_timeout(EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                samples.extend(look(server));
                return samples;
            }
        }
    }
}

/// A sample; none when the server does not answer.
fn look(server: &Server) -> Option<Sample> {
    let accounts = Accounts::of(server.admin)?;
    let usage = server.usage();
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Some(Sample { at, usage, accounts })
}

/// The samples of a run, in order.
#[derive(Debug)]
pub(super) struct Course(Vec<Sample>);

impl Course {
    pub(super) fn first(&self) -> Sample {
        self.0.first().copied().unwrap_or_default()
    }

    pub(super) fn last(&self) -> Sample {
        self.0.last().copied().unwrap_or_default()
    }

    /// The longest accept queue that was seen.
    pub(super) fn longest_accept_queue(&self) -> f64 {
        self.0.iter().map(|s| s.accounts.accept_queue).fold(0.0, f64::max)
    }

    /// How things stood at a moment: on the straight line between the samples around it.
    pub(super) fn at(&self, moment: f64) -> Sample {
        let after = self.0.partition_point(|s| s.at <= moment);
        let (Some(a), Some(b)) = (self.0.get(after.wrapping_sub(1)), self.0.get(after)) else {
            return if after == 0 { self.first() } else { self.last() };
        };
        let part = (moment - a.at) / (b.at - a.at);
        let between = |of: fn(&Sample) -> f64| of(a) + (of(b) - of(a)) * part;
        Sample {
            at: moment,
            usage: Usage {
                cpu: between(|s| s.usage.cpu),
                queued: between(|s| s.usage.queued),
                resident: between(|s| s.usage.resident),
            },
            accounts: Accounts {
                lines: between(|s| s.accounts.lines),
                read_wait: between(|s| s.accounts.read_wait),
                write_wait: between(|s| s.accounts.write_wait),
                connected: between(|s| s.accounts.connected),
                accept_queue: between(|s| s.accounts.accept_queue),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: f64, cpu: f64) -> Sample {
        Sample { at, usage: Usage { cpu, ..Usage::default() }, ..Sample::default() }
    }

    #[test]
    fn moments_between_samples_lie_on_the_line_between_them() {
        let course = Course(vec![sample(10.0, 1.0), sample(12.0, 2.0), sample(13.0, 4.0)]);
        assert_eq!(course.at(11.0).usage.cpu, 1.5);
        assert_eq!(course.at(12.5).usage.cpu, 3.0);
        assert_eq!(course.at(5.0).usage.cpu, 1.0, "before the first, the first");
        assert_eq!(course.at(50.0).usage.cpu, 4.0, "after the last, the last");
    }
}
