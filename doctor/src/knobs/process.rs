//! Limits of processes, and of the host's file table.

use towline_host::PROCESSES_MAX;

use crate::{Facts, Fix, Row, Scope, Target, row::ALL, target::ProcessCount};

/// Threads of a process that do not serve: main, acceptor, admin, log, reload, and some to spare.
const THREADS_ASIDE: u64 = 8;
/// Memory mappings of a process, whatever the number of connections: no connection makes one.
const MAPS: u64 = 4_096;

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let processes = target.processes(facts);
    let own = target.connections.div_ceil(processes) * target.descriptors_each();
    let aside = target.descriptors_aside(facts, processes);
    let (floor, ample) = (own + aside, own + own / 10 + aside);
    let enough = match target.processes_needed(facts) {
        needed @ ..=PROCESSES_MAX if needed > processes => needed,
        _ => 0,
    };
    let spread = match target.processes {
        ProcessCount::Unspecified | ProcessCount::Exactly(1) => "in one process".to_owned(),
        _ => format!("in each of {processes} processes"),
    };

    let ends = target.connections * target.side.ends();
    let files = facts.sysctls.number("fs.file-max");
    let open = facts.files_open.unwrap_or(0);
    let sockets = ends + processes * aside;
    let threads = processes * (target.threads(facts, processes) + THREADS_ASIDE);
    vec![
        Row::at_least("RLIMIT_NOFILE", (Scope::Process, ALL), facts.descriptors, (floor, ample))
            .because(format!(
                "A connection takes a descriptor; without one, accept fails with EMFILE. {} {spread}, \
                 a tenth to spare, and {aside} for the process itself.",
                crate::grouped(own)
            ))
            .fix(Fix::Descriptors { limit: ample, processes: enough }),
        knob(facts, "fs.nr_open", (floor, floor))
            .because("Upper bound of every process's descriptor limit."),
        Row::at_least(
            "fs.file-max",
            (Scope::Host, ALL),
            files,
            (open + sockets, open + sockets + sockets / 5),
        )
        .because(format!(
            "All processes of the host share these; {} are in use. Without one, open and accept fail \
             with ENFILE in every process.",
            crate::grouped(open)
        ))
        .set_to(open + sockets + sockets / 5),
        knob(facts, "fs.epoll.max_user_watches", (ends, 2 * target.connections.max(ends)))
            .because("Each polled connection counts for its user; at the limit, epoll_ctl fails with ENOSPC."),
        knob(facts, "kernel.threads-max", (threads, threads))
            .because("Threads of the whole host; this server starts processes times threads."),
        knob(facts, "kernel.pid_max", (threads, threads))
            .because("Each thread on the host takes a process number."),
        Row::at_least(
            "pids cgroup limit",
            (Scope::Process, ALL),
            Some(facts.cgroup.tasks_left.unwrap_or(u64::MAX)),
            (threads, threads),
        )
        .because("Threads that the control group may still start; without them the server cannot start.")
        .fix(Fix::Tasks(threads)),
        knob(facts, "vm.max_map_count", (0, MAPS))
            .because("Memory mappings per process. No connection has one of its own."),
    ]
}

fn knob(facts: &Facts, name: &'static str, needs: (u64, u64)) -> Row {
    let value = facts.sysctls.number(name);
    Row::at_least(name, (Scope::Host, ALL), value, needs).set_to(needs.1)
}
