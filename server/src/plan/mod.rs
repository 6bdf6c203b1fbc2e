//! The plan of a server: processes, threads, and limits of connections; and what its protocol allows.

mod protocol_rules;

use towline_config::{Processes, Settings};
use towline_host::{HostLimits, PROCESSES_MAX, descriptors_reserved, max_connections};

pub(crate) use self::protocol_rules::ProtocolRules;
use crate::RunError;

/// How a server is divided over processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Processes that serve lines.
    pub processes: usize,
    /// Threads that serve lines, in each process.
    pub threads: usize,
    /// Most connections of one process, by its descriptors.
    pub per_process: usize,
    /// Most connections of all processes together.
    pub connections: usize,
}

impl ProcessPlan {
    /// The plan for `settings` on this host.
    ///
    /// # Errors
    /// When they ask for more connections than there can be descriptors for.
    pub fn of(settings: &Settings, host: HostLimits) -> Result<Self, RunError> {
        let wanted = settings.limits.connections.map(|limit| u64::from(limit.get()));
        let processes = match settings.server.processes {
            Processes::Exactly(count) => count.get().into(),
            _ => Self::needed(settings, host, wanted),
        };
        let threads = Self::threads(settings, host, processes);
        let per_process = max_connections(host.descriptors, threads);
        if per_process == 0 {
            return Err(RunError::usage(format!(
                "the descriptor limit of {} leaves none for connections with {threads} threads: \
                 raise it (ulimit -n), expected at least {}",
                host.descriptors,
                descriptors_reserved(threads) + 1
            )));
        }
        let (processes, per_process) = (processes as usize, per_process as usize);
        let mut plan = Self { processes, threads, per_process, connections: 0 };
        plan.connections = plan.connections_of(settings, host, 0)?;
        Ok(plan)
    }

    /// The limit of connections of all processes together under `settings`. `open` connections already
    /// have their memory, which is not counted again.
    ///
    /// # Errors
    /// When they ask for more connections than there can be descriptors for.
    pub fn connections_of(
        &self,
        settings: &Settings,
        host: HostLimits,
        open: usize,
    ) -> Result<usize, RunError> {
        // Worker processes keep their descriptor limit; the limit of this process may have changed.
        let per_process = match self.processes {
            1 => max_connections(host.descriptors, self.threads),
            _ => self.per_process as u64,
        };
        let possible = per_process.saturating_mul(self.processes as u64);
        let wanted = settings.limits.connections.map(|limit| u64::from(limit.get()));
        let Some(wanted) = wanted else {
            let by_memory = host.connections_by_memory.saturating_add(open as u64).max(1);
            return Ok(possible.min(by_memory) as usize);
        };
        if wanted <= possible {
            return Ok(wanted as usize);
        }
        let enough = wanted.div_ceil(per_process.max(1));
        let count = match self.processes {
            1 => "one process".to_owned(),
            count => format!("{count} processes"),
        };
        let way_out = if enough <= PROCESSES_MAX {
            format!("start {enough} processes (--processes {enough}, or auto), ")
        } else {
            String::new()
        };
        Err(RunError::usage(format!(
            "limits.connections = {wanted} is more than this host allows: the descriptor limit is \
             {}, which holds {possible} connections in {count}; {way_out}raise it (ulimit -n) or \
             ask for at most {possible}",
            host.descriptors
        )))
    }

    /// The fewest processes with enough descriptors. Searched rather than computed: one more process can
    /// mean one thread fewer in each, and so more descriptors for connections.
    fn needed(settings: &Settings, host: HostLimits, wanted: Option<u64>) -> u64 {
        let Some(wanted) = wanted else { return 1 };
        let enough = |&processes: &u64| {
            let threads = Self::threads(settings, host, processes);
            max_connections(host.descriptors, threads) * processes >= wanted
        };
        (1..=PROCESSES_MAX).find(enough).unwrap_or(PROCESSES_MAX)
    }

    /// Threads of each process: `server.threads`, or an equal share of the cores and at least one.
    fn threads(settings: &Settings, host: HostLimits, processes: u64) -> usize {
        let share = (host.cores / processes as usize).max(1);
        settings.server.threads.map_or(share, |threads| threads.get() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    const HOST: HostLimits =
        HostLimits { cores: 4, descriptors: 20_000, connections_by_memory: 4_000_000 };

    fn asking(connections: Option<u32>, processes: Processes) -> Settings {
        let mut settings = Settings::default();
        settings.limits.connections = connections.and_then(NonZeroU32::new);
        settings.server.processes = processes;
        settings
    }

    fn exactly(count: u32) -> Processes {
        Processes::Exactly(NonZeroU32::new(count).expect("not zero"))
    }

    fn plan(connections: Option<u32>, processes: Processes) -> ProcessPlan {
        ProcessPlan::of(&asking(connections, processes), HOST).expect("it is allowed")
    }

    #[test]
    fn as_many_processes_as_the_descriptor_limit_makes_necessary() {
        let alone = plan(Some(10_000), Processes::Auto);
        assert_eq!((alone.processes, alone.threads, alone.connections), (1, 4, 10_000));
        let two = plan(Some(30_000), Processes::Auto);
        assert_eq!((two.processes, two.threads, two.connections), (2, 2, 30_000));
        let many = plan(Some(1_000_000), Processes::Auto);
        assert_eq!((many.processes, many.threads, many.connections), (51, 1, 1_000_000));
        assert!(many.per_process * many.processes >= many.connections);
        assert!(many.per_process * (many.processes - 1) < many.connections);
    }

    #[test]
    fn without_a_wish_one_process_and_what_descriptors_and_memory_allow() {
        let alone = plan(None, Processes::Auto);
        assert_eq!((alone.processes, alone.connections), (1, alone.per_process));
        let three = plan(None, exactly(3));
        assert_eq!(three.connections, 3 * three.per_process);
        let short = HostLimits { connections_by_memory: 100, ..HOST };
        let little = ProcessPlan::of(&asking(None, exactly(3)), short).expect("it is allowed");
        assert_eq!(little.connections, 100);
    }

    #[test]
    fn threads_that_are_asked_for_are_those_of_each_process() {
        let mut settings = asking(None, exactly(3));
        settings.server.threads = NonZeroU32::new(5);
        assert_eq!(ProcessPlan::of(&settings, HOST).expect("it is allowed").threads, 5);
    }

    #[test]
    fn more_than_there_are_descriptors_for_is_refused_with_the_way_out() {
        let refusal = |connections, processes| {
            let refusal = ProcessPlan::of(&asking(Some(connections), processes), HOST);
            let refusal = refusal.expect_err("too many");
            assert!(refusal.is_usage());
            refusal.to_string()
        };
        let one = refusal(30_000, exactly(1));
        assert!(one.contains("in one process; start 2 processes"), "{one}");
        let three = refusal(1_000_000, exactly(3));
        assert!(three.contains("in 3 processes; start 51 processes"), "{three}");
        let hopeless = refusal(u32::MAX, Processes::Auto);
        assert!(hopeless.contains("in 1024 processes; raise it"), "{hopeless}");
        let few = HostLimits { descriptors: 60, ..HOST };
        let none = ProcessPlan::of(&asking(None, Processes::Auto), few).expect_err("none left");
        assert!(none.to_string().contains("leaves none for connections"), "{none}");
    }
}
