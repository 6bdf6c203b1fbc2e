//! Looks at both ends and at the host while connections are made and held.

use std::fs;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bench::scrape;
use crate::bench::server::{Server, children, cpu_seconds, private_bytes};

/// How often at most. Reading a hundred processes takes a few milliseconds.
const EVERY: Duration = Duration::from_secs(1);
/// A short hold is looked at so many times.
const LOOKS: u32 = 8;

/// How things stood at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Seconds since 1970.
    pub(super) at: f64,
    pub(super) server: End,
    pub(super) generator: End,
    /// Bytes the host could still give.
    pub(super) available: f64,
    /// Bytes of kernel objects.
    pub(super) slab: f64,
    /// As the server counts; absent when it did not answer.
    pub(super) active: Option<f64>,
    pub(super) heartbeats_sent: f64,
    pub(super) heartbeats_missed: f64,
    /// Accepts that failed because the process, or the host, was out of descriptors.
    pub(super) emfile: f64,
    pub(super) enfile: f64,
}

/// All processes of one side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// Resident bytes that are its own: the program text that processes share is left out.
    pub(super) resident: f64,
    /// User and system time, in seconds.
    pub(super) cpu: f64,
}

/// A thread that takes samples until it is asked for them.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: SyncSender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    /// Takes the first sample before it returns, and then one a second, or several a `hold`.
    pub(super) fn start(server: &Arc<Server>, hold: Duration) -> Self {
        let every = (hold / LOOKS).min(EVERY);
        let (stop, stopped) = sync_channel(1);
        let server = Arc::clone(server);
        let first = look(&server);
        let thread = thread::spawn(move || watch(&server, first, every, &stopped));
        Self { stop, thread }
    }

    /// Takes a last sample and returns them all.
    pub(super) fn finish(self) -> Course {
        // Fails only if the thread has ended already, and then there is nobody to tell.
        let _ = self.stop.send(());
        Course(self.thread.join().unwrap_or_default())
    }
}

fn watch(server: &Server, first: Sample, every: Duration, stopped: &Receiver<()>) -> Vec<Sample> {
    let mut samples = vec![first];
    loop {
        match stopped.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => samples.push(look(server)),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                samples.push(look(server));
                return samples;
            }
        }
    }
}

fn look(server: &Server) -> Sample {
    let serving = server.processes();
    // The generator is this process, and those it started but for the server.
    let mut loading = vec![process::id()];
    loading.extend(children(process::id()).into_iter().filter(|pid| !serving.contains(pid)));
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| {
        let row = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = row.and_then(|row| row.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        number.unwrap_or(0.0) * 1024.0
    };
    let mut sample = Sample {
        at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        server: End::of(&serving),
        generator: End::of(&loading),
        available: kib("MemAvailable"),
        slab: kib("Slab"),
        ..Sample::default()
    };
    if let Some(answer) = scrape::metrics(server.admin) {
        sample.take(&answer);
    }
    sample
}

impl Sample {
    fn take(&mut self, answer: &str) {
        for (metric, labels, value) in scrape::samples(answer) {
            match metric {
                "towline_connections_active" => self.active = Some(value),
                "towline_heartbeats_sent_total" => self.heartbeats_sent += value,
                "towline_heartbeats_missed_total" => self.heartbeats_missed += value,
                "towline_accept_errors_total" if labels.contains("EMFILE") => self.emfile += value,
                "towline_accept_errors_total" if labels.contains("ENFILE") => self.enfile += value,
                _ => {}
            }
        }
    }
}

impl End {
    fn of(processes: &[u32]) -> Self {
        let mut end = Self::default();
        for pid in processes {
            end.resident += private_bytes(*pid).unwrap_or_default();
            end.cpu += cpu_seconds(*pid).unwrap_or_default();
        }
        end
    }
}

/// The samples of a run, in order.
#[derive(Debug)]
pub(super) struct Course(Vec<Sample>);

impl Course {
    /// Before the first connect.
    pub(super) fn first(&self) -> Sample {
        self.0.first().copied().unwrap_or_default()
    }

    pub(super) fn last(&self) -> Sample {
        self.0.last().copied().unwrap_or_default()
    }

    /// The last sample of a stretch at which the server answered. Without one the server's count of
    /// connections is absent, and the rest is as it was before.
    pub(super) fn last_within(&self, from: f64, to: f64) -> Sample {
        let answered = |s: &&Sample| s.at <= to && s.active.is_some();
        let last = self.0.iter().rev().find(answered).copied().unwrap_or_else(|| self.first());
        if last.at < from { Sample { active: None, ..last } } else { last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_adds_up_what_is_told_of_connections_and_heartbeats() {
        let mut sample = Sample::default();
        sample.take(
            "towline_connections_active 7\ntowline_heartbeats_sent_total 3\n\
             towline_heartbeats_missed_total 1\n\
             towline_accept_errors_total{errno=\"EMFILE\"} 2\n\
             towline_accept_errors_total{errno=\"ENFILE\"} 5\n",
        );
        assert_eq!(sample.active, Some(7.0));
        assert_eq!((sample.heartbeats_sent, sample.heartbeats_missed), (3.0, 1.0));
        assert_eq!((sample.emfile, sample.enfile), (2.0, 5.0));
    }

    #[test]
    fn the_sample_of_a_stretch_is_the_last_that_the_server_answered() {
        let at = |at, active| Sample { at, active, ..Sample::default() };
        let course = [at(1.0, Some(0.0)), at(2.0, Some(5.0)), at(3.0, None), at(4.0, Some(9.0))];
        let course = Course(course.into());
        assert_eq!(course.last_within(1.5, 3.5).active, Some(5.0));
        assert_eq!(course.last_within(2.5, 3.5).active, None, "it did not answer in time");
        assert_eq!(course.last_within(2.5, 4.5).active, Some(9.0));
    }
}
