"""Which command is slow or fails, and which receivers do not keep up?"""

import rules
from panels import (
    RESULT_COLORS,
    Board,
    gauge,
    per,
    quantile,
    series,
    table,
    total_rate,
)

COMMANDS = "towline_commands_total"
TOOK = "towline_command_duration_seconds"
PUSHES = "towline_pushes_total"
DELAY = "towline_push_delay_seconds"
SLOW = "towline_slow_consumers_total"
NOT_OK = 'result!="ok"'
SENT = total_rate(PUSHES, 'result="sent"')


def in_time(matchers=""):
    """The most frequent commands of the chosen time."""
    return f"topk(20, sum by (command) (increase({gauge(COMMANDS, matchers)}[$__range])) > 0)"


OF_COMMANDS = (
    series(
        "Commands",
        "suffix:/s",
        "Commands per second, of the ten most frequent. other: commands that the program does not have.",
        (f"topk(10, {total_rate(COMMANDS, by='command')} > 0)", "{{command}}"),
        no_value="none",
    ),
    series(
        "Results",
        "suffix:/s",
        "Commands per second, by result. error: the reply is an error.",
        (total_rate(COMMANDS, by="result"), "{{result}}"),
        stack=True,
        colors=RESULT_COLORS,
    ),
    series(
        "Failed commands",
        "suffix:/s",
        "Commands per second that did not end well, of the ten that fail most.",
        (f"topk(10, {total_rate(COMMANDS, NOT_OK, by='command, result')} > 0)", "{{command}} {{result}}"),
        no_value="none failed",
    ),
    series(
        "Duration of commands, median",
        "s",
        "From a command to the end of its reply, what it waits for included. Only of commands that the program "
        "times (Router::timed).",
        (quantile(0.5, by="command", metric=TOOK), "{{command}}"),
        logarithm=10,
        no_value="none timed",
    ),
    series(
        "Duration of commands, p99",
        "s",
        "From a command to the end of its reply, what it waits for included. Only of commands that the program "
        "times (Router::timed).",
        (quantile(0.99, by="command", metric=TOOK), "{{command}}"),
        logarithm=10,
        no_value="none timed",
    ),
    table(
        "Top commands",
        "Commands of the chosen time, and the share that failed.",
        (in_time(), ""),
        (f"{in_time(NOT_OK)} / {in_time()}", ""),
        columns={"command": "Command", "Value #A": "Commands", "Value #B": "Failed"},
        cell_units={"Commands": "short", "Failed": "percentunit"},
        sorted_by="Commands",
        no_value="none",
    ),
)

OF_PUSHES = (
    series(
        "Deliveries",
        "suffix:/s",
        "Pushed messages per second, each counted for each connection that it is for. dropped: left out by a policy, "
        "or because its connection ended or left its group. refused: not taken, and its sender was told.",
        (total_rate(PUSHES, by="result"), "{{result}}"),
        colors={"sent": "blue", "dropped": "orange", "refused": "red"},
    ),
    series(
        "Bytes pushed",
        "Bps",
        "Bytes of pushed messages written to connections.",
        (total_rate("towline_push_bytes_total"), "pushed"),
    ),
    series(
        "Groups and members",
        "short",
        "Groups and topics that have members, and memberships of connections.",
        (f"sum({gauge('towline_groups')})", "groups"),
        (f"sum({gauge('towline_group_members')})", "members"),
        logarithm=10,
        no_value="none",
    ),
    series(
        "Delay",
        "s",
        "From a round of a group to the end of its write, for each member. Rises with the members of the group, and "
        "with members that do not read.",
        (quantile(0.5, metric=DELAY), "p50"),
        (quantile(0.99, metric=DELAY), "p99"),
        logarithm=10,
        no_value="nothing pushed",
    ),
    series(
        "Deliveries per round",
        "none",
        "Deliveries divided by rounds: the members that one round reaches, times the messages that it joins.",
        (per(SENT, total_rate("towline_push_rounds_total")), "deliveries"),
        decimals=1,
        no_value="nothing pushed",
    ),
    series(
        "Messages per write",
        "none",
        "Messages that a member of a group gets with one write. 1 when each message finds all members idle; rises "
        "under load, which makes each message cheaper. Too high where most messages are pushed to single connections.",
        (per(SENT, total_rate(DELAY + "_count")), "messages"),
        decimals=1,
        no_value="nothing pushed",
    ),
)

OF_RECEIVERS = (
    series(
        "Waiting connections",
        "short",
        "Connections for which pushed messages wait, at the moment of the scrape.",
        (f"sum({gauge('towline_push_waiting_connections')})", "waiting"),
        soft_maximum=1,
    ),
    series(
        "Waiting bytes",
        "bytes",
        "Bytes of pushed messages that are not written, each once however many connections wait for it. They count "
        "in limits.buffer_bytes.",
        (gauge("towline_push_waiting_bytes"), "{{instance}}"),
    ),
    series(
        "Slow consumers",
        "suffix:/s",
        "How often a connection took too little of what was pushed to it, by what was done: it was closed, messages "
        "for it were dropped, or senders waited for it.",
        (total_rate(SLOW, by="action"), "{{action}}"),
        colors={"closed": "red", "dropped": "orange", "waited": "yellow"},
        soft_maximum=1,
    ),
    series(
        "Closed as slow consumers",
        "suffix:conn/s",
        "Connections closed per second because they took too little, by instance. TowlineSlowConsumersClosed fires "
        "above the line.",
        (total_rate(SLOW, 'action="closed"', by="instance"), "{{instance}}"),
        lines=((rules.SLOW_CLOSED, "red"),),
        width=12,
    ),
    series(
        "Publishers held up",
        "short",
        "Mean number of connections that are not read on because what they sent to others filled a queue (state "
        "push_wait), by instance. TowlinePublishersHeldUp fires above the line.",
        (
            total_rate("towline_connection_state_seconds_total", 'state="push_wait"', by="instance"),
            "{{instance}}",
        ),
        lines=((rules.HELD_UP, "red"),),
        soft_maximum=1,
        width=12,
    ),
)

PUSHES_AND_COMMANDS = Board(
    "pushes",
    "Pushes and commands",
    "Of programs of the library: which command is slow or fails, and which receivers do not keep up? Without data "
    "for the `towline` binary, which has neither.",
    (
        ("Commands", OF_COMMANDS),
        ("Pushes", OF_PUSHES),
        ("Receivers that do not keep up", OF_RECEIVERS),
    ),
)
