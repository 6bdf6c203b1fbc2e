//! Metrics of what is pushed to connections.

use towline_middleware::stats::{COARSE, PushSnapshot};

use super::family::{Values, counter, gauge, histogram};

/// Adds the metrics of pushes.
pub(super) fn add_families(
    pushed: &PushSnapshot,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let by = |label: &'static str, counts: &[(&str, u64)]| {
        let series =
            counts.iter().map(|(value, count)| (vec![(label, (*value).to_owned())], *count));
        Values::Counter(series.collect())
    };
    add(
        "towline_pushes_total",
        "Pushed messages, each counted for each connection that it is for. dropped: left out by a policy, or \
         because its connection ended or left its group. refused: not taken, and its sender was told.",
        by(
            "result",
            &[("sent", pushed.sent), ("dropped", pushed.dropped), ("refused", pushed.refused)],
        ),
    );
    add(
        "towline_push_bytes_total",
        "Bytes of pushed messages written to connections.",
        counter(pushed.sent_bytes),
    );
    add(
        "towline_push_rounds_total",
        "Rounds given to the members of groups. Messages of a group that are sent together are one round, and one \
         write for each member.",
        counter(pushed.rounds),
    );
    add(
        "towline_push_waiting_bytes",
        "Bytes of pushed messages that are not written, each once however many connections wait for it.",
        gauge(pushed.waiting_bytes as f64),
    );
    add(
        "towline_push_waiting_connections",
        "Connections for which pushed messages wait.",
        gauge(pushed.waiting_connections as f64),
    );
    add(
        "towline_push_delay_seconds",
        "Time from a round to the end of its write, for each member.",
        histogram(&COARSE, &pushed.delay),
    );
    add(
        "towline_slow_consumers_total",
        "Times that a member took too little of what was pushed to it, by what was done: it was closed, messages \
         for it were dropped, or senders waited for it.",
        by(
            "action",
            &[
                ("closed", pushed.slow_closed),
                ("dropped", pushed.slow_dropped),
                ("waited", pushed.slow_waited),
            ],
        ),
    );
    add("towline_groups", "Groups and topics that have members.", gauge(pushed.groups as f64));
    add(
        "towline_group_members",
        "Memberships of connections in groups and topics.",
        gauge(pushed.group_members as f64),
    );
}
