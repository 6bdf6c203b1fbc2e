"""Where do connections spend their time?"""

from panels import (
    CONNECTIONS as OPEN,
    DIRECTION_COLORS,
    STATE_COLORS,
    Board,
    gauge,
    per,
    series,
    total_rate,
)

STATE_SECONDS = "towline_connection_state_seconds_total"
IO_WAIT = "towline_io_wait_seconds_total"
WRITE_WAIT = total_rate(IO_WAIT, 'direction="write"')
HALF_SENT = gauge("towline_connections", 'state="read_wait"')

POPULATION = (
    series(
        "By state, now",
        "short",
        "Open connections by what they did at the moment of the scrape.",
        (f"sum by (state) ({gauge('towline_connections')})", "{{state}}"),
        stack=True,
        colors=STATE_COLORS,
        width=12,
    ),
    series(
        "By state, on average",
        "short",
        "Connection-seconds a second: the mean population of each state, exact between scrapes too.",
        (total_rate(STATE_SECONDS, by="state"), "{{state}}"),
        stack=True,
        colors=STATE_COLORS,
        width=12,
    ),
)

WAIT = (
    series(
        "Mean waiting connections",
        "short",
        "Connections that wait for the peer to send (read) or to take its replies (write).",
        (total_rate(IO_WAIT, by="direction"), "{{direction}}"),
        colors=DIRECTION_COLORS,
    ),
    series(
        "Share of connection time",
        "percentunit",
        "How much of all connection time is waiting for the socket.",
        (
            f"{total_rate(IO_WAIT, by='direction')} / ignoring (direction) group_left () "
            f"({total_rate(STATE_SECONDS)} > 0)",
            "{{direction}}",
        ),
        colors=DIRECTION_COLORS,
        maximum=1,
    ),
    series(
        "Write wait by instance",
        "short",
        "Which instance's peers do not read.",
        (total_rate(IO_WAIT, 'direction="write"', by="instance"), "{{instance}}"),
    ),
    series(
        "Write wait per megabyte written",
        "s",
        "Back-pressure felt per unit of work.",
        (
            per(WRITE_WAIT, f"({total_rate('towline_written_bytes_total')} / 1e6)"),
            "per MB",
        ),
    ),
    series(
        "Half-sent lines",
        "short",
        "Connections that hold an unfinished line. A slow-line attack shows here first.",
        (f"sum({HALF_SENT})", "unfinished line"),
    ),
    series(
        "Unterminated ends",
        "cps",
        "Connections that ended in the middle of a line, whose rest was dropped.",
        (total_rate("towline_lines_unterminated_total"), "dropped rest"),
    ),
)

LIFECYCLE = (
    series(
        "Closes by reason",
        "cps",
        "Why connections end.",
        (
            f"{total_rate('towline_connections_closed_total', by='reason')} > 0",
            "{{reason}}",
        ),
        no_value="none",
    ),
    series(
        "Mean lifetime",
        "s",
        "Mean population over arrivals (Little's law). Only sound while the population is steady.",
        (
            per(total_rate(STATE_SECONDS), total_rate("towline_connections_accepted_total")),
            "lifetime",
        ),
    ),
    series(
        "Heartbeats",
        "cps",
        "Pings sent into silence, and those nobody answered in time.",
        (total_rate("towline_heartbeats_sent_total"), "sent"),
        (total_rate("towline_heartbeats_missed_total"), "missed"),
        colors={"missed": "red"},
    ),
)

BUFFERS = (
    series(
        "Bytes held",
        "bytes",
        "Unfinished lines and batches being served (read) and unsent replies (write) held for parked "
        "connections, and what they should not exceed.",
        (f"sum by (direction) ({gauge('towline_buffer_bytes')})", "{{direction}}"),
        (f"sum({gauge('towline_buffer_limit_bytes')})", "limit"),
        colors=DIRECTION_COLORS,
        limits=("limit",),
        width=12,
        # The limit is a thousand times what is held by whom all is well.
        logarithm=2,
    ),
    series(
        "Bytes held per connection",
        "bytes",
        "An idle connection holds none.",
        (per(f"sum({gauge('towline_buffer_bytes')})", OPEN), "per connection"),
        width=12,
    ),
    series(
        "Pressure",
        "percentunit",
        "Use over limit of the instance that is nearest to each. Memory is that of the buffers.",
        (f"max by (resource) ({gauge('towline_overload_pressure_ratio')})", "{{resource}}"),
        width=12,
    ),
    series(
        "Steps against overload",
        "short",
        "Processes whose timeouts shrink, that shed lines, or that accept no connections, because "
        "memory for buffers is short.",
        (f"sum by (step) ({gauge('towline_overload_active')})", "{{step}}"),
        colors={"shrink": "yellow", "shed": "orange", "refuse": "red"},
        soft_maximum=1,
        width=12,
    ),
)

CONNECTIONS = Board(
    "connections",
    "Connections and I/O wait",
    "Where do connections spend their time? The states are exclusive and their seconds exact: they "
    "sum to the open connections.",
    (
        ("Population", POPULATION),
        ("I/O wait", WAIT),
        ("Lifecycle", LIFECYCLE),
        ("Buffers and overload", BUFFERS),
    ),
)
