//! Periodic samples of both ends and of the host, so that any part of a run can be accounted for.

use std::fs;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::process::{Usage, children, kib};
use super::server::Server;
use super::server_counters::ServerCounters;

/// The state of server, generator and host at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Seconds since 1970.
    pub(super) at: f64,
    pub(super) server: Usage,
    pub(super) generator: Usage,
    /// Bytes the host could still give.
    pub(super) available: f64,
    /// Bytes of kernel objects.
    pub(super) slab: f64,
    /// The server's own metrics; absent when it did not answer.
    pub(super) counters: Option<ServerCounters>,
}

impl Sample {
    fn take(server: &Server) -> Self {
        let serving = server.processes();
        // The generator is this process and its children, the server aside.
        let mut loading = vec![process::id()];
        loading.extend(children(process::id()).into_iter().filter(|pid| !serving.contains(pid)));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let counters = ServerCounters::scrape(server.admin);
        Self {
            // After the scrape, which takes long on a busy host; the files of /proc do not.
            at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            server: Usage::of(&serving),
            generator: Usage::of(&loading),
            available: kib(&meminfo, "MemAvailable:").unwrap_or_default(),
            slab: kib(&meminfo, "Slab:").unwrap_or_default(),
            counters,
        }
    }
}

/// A thread that takes samples at an interval.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    /// Takes the first sample before it returns, so that there is one from before the load.
    pub(super) fn start(server: &Arc<Server>, interval: Duration) -> Self {
        let (stop, stopped) = sync_channel(1);
        let server = Arc::clone(server);
        let first = Sample::take(&server);
        let thread = thread::spawn(move || sample(&server, first, interval, &stopped));
        Self { stop, thread }
    }

    /// Takes a last sample and returns them all.
    pub(super) fn finish(self) -> Samples {
        // Fails only if the thread has panicked, and then there are no samples.
        let _ = self.stop.send(());
        Samples(self.thread.join().unwrap_or_default())
    }
}

fn sample(
    server: &Server,
    first: Sample,
    interval: Duration,
    stopped: &Receiver<()>,
) -> Vec<Sample> {
    let mut samples = vec![first];
    loop {
        let over = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
        samples.push(Sample::take(server));
        if over {
            return samples;
        }
    }
}

/// The samples of a run, in order.
#[derive(Debug)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    /// The state before the first connect.
    pub(super) fn first(&self) -> Sample {
        self.0.first().copied().unwrap_or_default()
    }

    pub(super) fn last(&self) -> Sample {
        self.0.last().copied().unwrap_or_default()
    }

    /// The longest accept queue that a sample saw.
    pub(super) fn longest_accept_queue(&self) -> f64 {
        let queues = self.0.iter().filter_map(|s| Some(s.counters?.accept_queue));
        queues.fold(0.0, f64::max)
    }

    /// A figure at a moment, interpolated between the samples around it; outside of them it is that
    /// of the nearest. Samples at which the server did not answer are left out.
    pub(super) fn at(&self, moment: f64, figure: impl Fn(&Sample, &ServerCounters) -> f64) -> f64 {
        let figures = self.0.iter().filter_map(|s| Some((s.at, figure(s, s.counters.as_ref()?))));
        let (mut before, mut after) = (None, None);
        for (at, value) in figures {
            if at <= moment {
                before = Some((at, value));
            } else {
                after = Some((at, value));
                break;
            }
        }
        match (before, after) {
            (Some((from, a)), Some((to, b))) => a + (b - a) * (moment - from) / (to - from),
            (Some((_, only)), None) | (None, Some((_, only))) => only,
            (None, None) => 0.0,
        }
    }

    /// The last sample in a window at which the server answered. Without one, the counters are absent
    /// and the rest is that of the sample before the window.
    pub(super) fn last_within(&self, from: f64, to: f64) -> Sample {
        let answered = |s: &&Sample| s.at <= to && s.counters.is_some();
        let last = self.0.iter().rev().find(answered).copied().unwrap_or_else(|| self.first());
        if last.at < from { Sample { counters: None, ..last } } else { last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: f64, lines: Option<f64>) -> Sample {
        let counters = lines.map(|lines| ServerCounters { lines, ..ServerCounters::default() });
        Sample { at, counters, ..Sample::default() }
    }

    #[test]
    fn a_figure_between_two_samples_is_interpolated() {
        let samples = Samples(vec![
            sample(10.0, Some(1.0)),
            sample(11.5, None),
            sample(12.0, Some(2.0)),
            sample(13.0, Some(4.0)),
        ]);
        let lines_at = |moment| samples.at(moment, |_, counters| counters.lines);
        assert_eq!(lines_at(11.0), 1.5);
        assert_eq!(lines_at(12.5), 3.0);
        assert_eq!(lines_at(5.0), 1.0, "before the first, the first");
        assert_eq!(lines_at(50.0), 4.0, "after the last, the last");
        assert_eq!(Samples(Vec::new()).at(1.0, |_, counters| counters.lines), 0.0);
    }

    #[test]
    fn the_sample_of_a_window_is_the_last_at_which_the_server_answered() {
        let samples = Samples(vec![
            sample(1.0, Some(0.0)),
            sample(2.0, Some(5.0)),
            sample(3.0, None),
            sample(4.0, Some(9.0)),
        ]);
        let lines = |from, to| Some(samples.last_within(from, to).counters?.lines);
        assert_eq!(lines(1.5, 3.5), Some(5.0));
        assert_eq!(lines(2.5, 3.5), None, "it did not answer in time");
        assert_eq!(lines(2.5, 4.5), Some(9.0));
    }
}
