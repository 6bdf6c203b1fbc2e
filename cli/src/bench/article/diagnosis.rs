//! What limited a column, derived from the evidence of its run.

use std::collections::BTreeMap;

use serde::Serialize;

/// The resource or the party that limited a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bottleneck {
    /// A process had no descriptors left.
    Descriptors,
    /// A source address had no ports left.
    Ports,
    /// The queue of connections to be accepted overflowed.
    AcceptQueue,
    /// The kernel's memory for TCP was used up.
    TcpMemory,
    /// The servers' threads were on a CPU all the time.
    ServerCpu,
    /// The generator's threads were on a CPU all the time.
    GeneratorCpu,
    /// Servers and generator together filled the cores.
    SharedCpu,
    /// Other processes of the host kept servers or generator from running.
    HostCpu,
    /// The clients did not read their replies.
    PeerNotReading,
    /// The servers did not start.
    ServerFailed,
    /// No known limit was reached.
    Unknown,
}

/// A bottleneck, in a sentence, with its evidence.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    pub(super) bottleneck: Bottleneck,
    pub(super) sentence: String,
    /// The figures from which it was derived.
    pub(super) evidence: BTreeMap<&'static str, f64>,
}

/// The observations from which a bottleneck is derived.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) connections: f64,
    /// Failed connects by kind, as the generator names them.
    pub(super) connect_errors: BTreeMap<String, u64>,
    /// Seconds the ramp took beyond its schedule.
    pub(super) ramp_late: f64,
    /// Kernel counters that grew.
    pub(super) kernel: BTreeMap<String, u64>,
    pub(super) longest_accept_queue: f64,
    /// Cores that this benchmark may use, and threads of either side.
    pub(super) cores: f64,
    pub(super) server_threads: f64,
    pub(super) generator_threads: f64,
    /// Cores used, and waited for, after the ramp.
    pub(super) server_used: f64,
    pub(super) server_queued: f64,
    pub(super) generator_used: f64,
    /// Shares of the time in which the generator's busiest thread was awake, and waited for a CPU.
    pub(super) generator_awake: f64,
    pub(super) generator_queued: f64,
    pub(super) write_wait_share: f64,
}

/// Share of a core from which it counts as full; the measurement itself uses the rest.
const FULL: f64 = 0.9;

/// Fewer overflows than this say nothing: the kernel counts those of all programs together.
const OVERFLOWS_MIN: f64 = 10.0;

impl Diagnosis {
    /// The diagnosis where the servers did not start, from their error.
    pub(super) fn not_started(why: &str) -> Self {
        let bottleneck = if why.contains("descriptor") {
            Bottleneck::Descriptors
        } else {
            Bottleneck::ServerFailed
        };
        Self { bottleneck, sentence: format!("Not run: {why}"), evidence: BTreeMap::new() }
    }

    pub(super) fn of(evidence: &Evidence) -> Self {
        let (bottleneck, sentence) = diagnose(evidence);
        Self { bottleneck, sentence, evidence: evidence.figures() }
    }
}

/// The first cause that applies: first what keeps connections from being made, then CPU, then the
/// clients.
fn diagnose(e: &Evidence) -> (Bottleneck, String) {
    let failed = |kind: &str| e.connect_errors.get(kind).copied().unwrap_or(0);
    let moved = |name: &str| e.kernel.get(name).copied().unwrap_or(0);
    if failed("no_descriptor") > 0 {
        return (
            Bottleneck::Descriptors,
            format!(
                "Limited by file descriptors: {} connects failed because their process had none left",
                failed("no_descriptor")
            ),
        );
    }
    if failed("no_port") > 0 {
        return (
            Bottleneck::Ports,
            format!(
                "Limited by local ports: {} connects failed because their source address had none \
                 left",
                failed("no_port")
            ),
        );
    }
    let overflows = moved("listen_overflows").max(moved("listen_drops"));
    let many = (e.connections / 100.0).max(OVERFLOWS_MIN);
    let held = overflows as f64 >= many || e.ramp_late > 1.0;
    if overflows > 0 && held || failed("timeout") > 0 && e.longest_accept_queue > 0.0 {
        return (
            Bottleneck::AcceptQueue,
            format!(
                "Limited by the accept queue: it overflowed {overflows} times, {} connects timed out, and \
                 the ramp took {:.1} s longer than planned; give the server a longer --backlog",
                failed("timeout"),
                e.ramp_late.max(0.0)
            ),
        );
    }
    if moved("aborts_on_memory") > 0 {
        return (
            Bottleneck::TcpMemory,
            format!(
                "Limited by the kernel's memory for TCP (net.ipv4.tcp_mem): the kernel aborted {} \
                 connections",
                moved("aborts_on_memory")
            ),
        );
    }
    cpu(e).unwrap_or_else(|| waiting(e))
}

fn cpu(e: &Evidence) -> Option<(Bottleneck, String)> {
    let server_most = e.server_threads.min(e.cores);
    let server_busy = e.server_used >= FULL * server_most;
    let generator_busy = e.generator_used >= FULL * e.generator_threads.min(e.cores);
    if e.server_used + e.generator_used >= FULL * e.cores && !(server_busy && server_most < e.cores)
    {
        return Some((
            Bottleneck::SharedCpu,
            format!(
                "Limited by CPU: servers ({:.2} cores) and generator ({:.2} cores) together filled all {} \
                 cores, so a server alone on this host would do more",
                e.server_used, e.generator_used, e.cores
            ),
        ));
    }
    if server_busy {
        return Some((
            Bottleneck::ServerCpu,
            format!(
                "Limited by the servers' CPU: they used {:.2} of the {server_most} cores that their \
                 threads can use",
                e.server_used
            ),
        ));
    }
    if e.server_used + e.server_queued >= FULL * server_most
        || e.generator_queued > 0.5 && e.generator_awake >= FULL
    {
        return Some((
            Bottleneck::HostCpu,
            format!(
                "Limited by other processes on this host: towline got {:.2} of {} cores and waited for \
                 {:.2} more",
                e.server_used + e.generator_used,
                e.cores,
                e.server_queued
            ),
        ));
    }
    if generator_busy || e.generator_awake >= 0.95 {
        return Some((
            Bottleneck::GeneratorCpu,
            format!(
                "Limited by the generator's CPU: its busiest thread was awake {:.0} % of the time, while \
                 the servers used {:.2} of {server_most} cores",
                100.0 * e.generator_awake,
                e.server_used
            ),
        ));
    }
    None
}

fn waiting(e: &Evidence) -> (Bottleneck, String) {
    if e.write_wait_share >= 0.5 {
        return (
            Bottleneck::PeerNotReading,
            format!(
                "Limited by clients that do not read: connections waited to write for {:.0} % of their \
                 time, while servers and generator used only {:.2} and {:.2} of {} cores",
                100.0 * e.write_wait_share,
                e.server_used,
                e.generator_used,
                e.cores
            ),
        );
    }
    let sentence = "No limit was found: CPU, descriptors, ports, accept queue, memory and clients all had \
                    room";
    (Bottleneck::Unknown, sentence.to_owned())
}

impl Evidence {
    fn figures(&self) -> BTreeMap<&'static str, f64> {
        let rounded = |v: f64| (v * 1000.0).round() / 1000.0;
        [
            ("cores", self.cores),
            ("server_threads", self.server_threads),
            ("server_cores_used", self.server_used),
            ("server_cores_waited_for", self.server_queued),
            ("generator_threads", self.generator_threads),
            ("generator_cores_used", self.generator_used),
            ("generator_awake_share", self.generator_awake),
            ("generator_waiting_for_cpu_share", self.generator_queued),
            ("write_wait_share", self.write_wait_share),
            ("ramp_late_seconds", self.ramp_late),
            ("longest_accept_queue", self.longest_accept_queue),
        ]
        .map(|(name, value)| (name, rounded(value)))
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four cores, two threads on either side, all idle.
    fn calm() -> Evidence {
        Evidence {
            connections: 1000.0,
            cores: 4.0,
            server_threads: 2.0,
            generator_threads: 2.0,
            ..Evidence::default()
        }
    }

    #[track_caller]
    fn diagnoses(change: impl FnOnce(&mut Evidence), expected: Bottleneck) {
        let mut evidence = calm();
        change(&mut evidence);
        assert_eq!(diagnose(&evidence).0, expected, "{evidence:?}");
    }

    #[test]
    fn each_cause_is_distinguished() {
        diagnoses(|_| (), Bottleneck::Unknown);
        diagnoses(
            |e| e.connect_errors = [("no_descriptor".into(), 3)].into(),
            Bottleneck::Descriptors,
        );
        diagnoses(|e| e.connect_errors = [("no_port".into(), 3)].into(), Bottleneck::Ports);
        diagnoses(
            |e| e.kernel = [("listen_overflows".into(), 400)].into(),
            Bottleneck::AcceptQueue,
        );
        diagnoses(|e| e.kernel = [("aborts_on_memory".into(), 1)].into(), Bottleneck::TcpMemory);
        diagnoses(|e| e.server_used = 1.95, Bottleneck::ServerCpu);
        diagnoses(
            |e| (e.generator_used, e.generator_awake) = (1.9, 0.99),
            Bottleneck::GeneratorCpu,
        );
        diagnoses(|e| (e.server_used, e.generator_used) = (1.9, 1.9), Bottleneck::ServerCpu);
        diagnoses(|e| (e.server_used, e.server_queued) = (0.9, 1.0), Bottleneck::HostCpu);
        diagnoses(|e| e.write_wait_share = 0.97, Bottleneck::PeerNotReading);
    }

    #[test]
    fn servers_and_generator_that_fill_one_core_share_it() {
        let pinned = |e: &mut Evidence| {
            (e.cores, e.server_threads, e.generator_threads) = (1.0, 1.0, 1.0);
            (e.server_used, e.generator_used, e.generator_awake) = (0.55, 0.42, 0.6);
            (e.server_queued, e.generator_queued) = (0.4, 0.5);
        };
        diagnoses(pinned, Bottleneck::SharedCpu);
    }

    #[test]
    fn a_few_overflows_do_not_explain_a_slow_server() {
        let few = |connections| {
            move |e: &mut Evidence| {
                e.kernel = [("listen_overflows".into(), 2)].into();
                e.connections = connections;
                e.server_used = 2.0;
            }
        };
        diagnoses(few(1000.0), Bottleneck::ServerCpu);
        // Of a hundred connections, one overflow is one percent, and may be another program's.
        diagnoses(few(100.0), Bottleneck::ServerCpu);
    }

    #[test]
    fn a_server_that_does_not_start_may_lack_descriptors() {
        let diagnosis = Diagnosis::not_started("the descriptor limit is 200");
        assert_eq!(diagnosis.bottleneck, Bottleneck::Descriptors);
        assert_eq!(Diagnosis::not_started("address in use").bottleneck, Bottleneck::ServerFailed);
    }
}
