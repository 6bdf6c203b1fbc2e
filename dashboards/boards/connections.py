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
        "Open connections by state at the moment of the scrape.",
        (f"sum by (state) ({gauge('towline_connections')})", "{{state}}"),
        stack=True,
        colors=STATE_COLORS,
        width=12,
    ),
    series(
        "By state, on average",
        "short",
        "Mean number of connections in each state (connection-seconds per second). Exact: short states "
        "between two scrapes are included.",
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
        "Mean number of connections that wait for the client to send (read) or to read its replies (write).",
        (total_rate(IO_WAIT, by="direction"), "{{direction}}"),
        colors=DIRECTION_COLORS,
    ),
    series(
        "Share of connection time",
        "percentunit",
        "Share of all connection time that is spent waiting for the client: to send (read), or to read its "
        "replies (write).",
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
        "Mean number of connections whose client does not read its replies, by instance.",
        (total_rate(IO_WAIT, 'direction="write"', by="instance"), "{{instance}}"),
    ),
    series(
        "Write wait per megabyte written",
        "s",
        "Connection-seconds of write wait for each megabyte of replies: 60 s means that one megabyte takes a "
        "minute of waiting, summed over all connections. Rises with clients that read slowly or not at "
        "all, and stays level when only traffic grows.",
        (
            per(WRITE_WAIT, f"({total_rate('towline_written_bytes_total')} / 1e6)"),
            "wait per MB",
        ),
    ),
    series(
        "Half-sent lines",
        "short",
        "Connections with an unfinished line. Clients that send lines very slowly, as in a slow-line attack, "
        "show here first.",
        (f"sum({HALF_SENT})", "unfinished line"),
    ),
    series(
        "Unterminated ends",
        "cps",
        "Connections that ended in the middle of a line. The server drops such a partial line.",
        (total_rate("towline_lines_unterminated_total"), "partial lines"),
    ),
)

LIFECYCLE = (
    series(
        "Closes by reason",
        "cps",
        "Connections closed per second, by reason; docs/LIMITS.md explains each reason.",
        (
            f"{total_rate('towline_connections_closed_total', by='reason')} > 0",
            "{{reason}}",
        ),
        no_value="none",
    ),
    series(
        "Mean lifetime",
        "s",
        "Mean number of open connections divided by the rate of new ones (Little's law). Valid only while "
        "that number is steady.",
        (
            per(total_rate(STATE_SECONDS), total_rate("towline_connections_accepted_total")),
            "lifetime",
        ),
    ),
    series(
        "Heartbeats",
        "cps",
        "Pings sent to silent clients, and pings without an answer within heartbeat.timeout.",
        (total_rate("towline_heartbeats_sent_total"), "sent"),
        (total_rate("towline_heartbeats_missed_total"), "missed"),
        colors={"missed": "red"},
    ),
)

BUFFERS = (
    series(
        "Bytes held",
        "bytes",
        "Memory held for connections: unfinished lines and batches being served (read), unsent replies "
        "(write). The limit is limits.buffer_bytes; the scale is logarithmic.",
        (f"sum by (direction) ({gauge('towline_buffer_bytes')})", "{{direction}}"),
        (f"sum({gauge('towline_buffer_limit_bytes')})", "limit"),
        colors=DIRECTION_COLORS,
        limits=("limit",),
        width=12,
        # On a healthy server the limit is a thousand times the bytes held.
        logarithm=2,
    ),
    series(
        "Bytes held per connection",
        "bytes",
        "Memory held for connections divided by open connections. Idle connections hold none.",
        (per(f"sum({gauge('towline_buffer_bytes')})", OPEN), "per connection"),
        width=12,
    ),
    series(
        "Pressure",
        "percentunit",
        "Use divided by limit, of the instance with the highest value for each resource. Memory is the "
        "memory held for connections; timeouts shrink from 85 % on.",
        (f"max by (resource) ({gauge('towline_overload_pressure_ratio')})", "{{resource}}"),
        width=12,
        many=True,
    ),
    series(
        "Overload steps",
        "short",
        "Processes that shorten timeouts (shrink), answer new lines with ERR overloaded (shed) or accept "
        "no connections (refuse), because a resource is nearly used up.",
        (f"sum by (step) ({gauge('towline_overload_active')})", "{{step}}"),
        colors={"shrink": "yellow", "shed": "orange", "refuse": "red"},
        soft_maximum=1,
        width=12,
    ),
)

CONNECTIONS = Board(
    "connections",
    "Connections and I/O wait",
    "Where do connections spend their time? A connection is in exactly one state at a time, so the "
    "states sum to the open connections.",
    (
        ("Population", POPULATION),
        ("I/O wait", WAIT),
        ("Lifecycle", LIFECYCLE),
        ("Buffers and overload", BUFFERS),
    ),
)
