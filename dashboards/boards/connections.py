"""Where do connections spend their time?"""

import rules
from panels import (
    DIRECTION_COLORS,
    STATE_COLORS,
    Board,
    gauge,
    per,
    quantile,
    series,
    table,
    total_rate,
)

STATE_SECONDS = "towline_connection_state_seconds_total"
IO_WAIT = "towline_io_wait_seconds_total"
WRITE_WAIT = total_rate(IO_WAIT, 'direction="write"')
HALF_SENT = gauge("towline_connections", 'state="read_wait"')

ENDED = f"topk(10, sum by (reason) (increase({gauge('towline_connections_closed_total')}[$__range])) > 0)"

POPULATION = (
    series(
        "By state, now",
        "short",
        "Open connections by state at the moment of the scrape.",
        (f"sum by (state) ({gauge('towline_connections')}) > 0", "{{state}}"),
        stack=True,
        no_value="none",
        colors=STATE_COLORS,
        width=12,
    ),
    series(
        "By state, on average",
        "short",
        "Mean number of connections in each state (connection-seconds per second). Exact: short states "
        "between two scrapes are included.",
        (f"{total_rate(STATE_SECONDS, by='state')} > 0", "{{state}}"),
        stack=True,
        no_value="none",
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
        "replies (write). TowlineReadersStalled fires when the writes of an instance are above the line.",
        (
            f"{total_rate(IO_WAIT, by='direction')} / ignoring (direction) group_left () "
            f"({total_rate(STATE_SECONDS)} > 0)",
            "{{direction}}",
        ),
        colors=DIRECTION_COLORS,
        maximum=1,
        lines=((rules.STALLED, "red"),),
    ),
    series(
        "Write wait by cause",
        "short",
        "Mean number of connections whose replies wait, by what they wait for: the client does not read, the "
        "network loses or delays segments, the server's own limit of unsent bytes (socket.notsent_lowat). unknown: "
        "over within seconds, or not looked at.",
        (total_rate("towline_write_wait_seconds_total", by="cause"), "{{cause}}"),
        colors={"peer": "red", "network": "orange", "buffer": "yellow", "unknown": "#8e8e8e"},
    ),
    series(
        "Write wait by instance",
        "short",
        "Mean number of connections whose client does not read its replies, by instance.",
        (total_rate(IO_WAIT, 'direction="write"', by="instance"), "{{instance}}"),
    ),
    series(
        "Write wait per megabyte written",
        "suffix:s/MB",
        "Seconds of write wait, summed over all connections, for each megabyte of replies. Rises with clients that read slowly or not at "
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
)

LIFECYCLE = (
    series(
        "Closes by reason",
        "suffix:conn/s",
        "Connections closed per second, by reason; docs/LIMITS.md explains each reason.",
        (
            f"{total_rate('towline_connections_closed_total', by='reason')} > 0",
            "{{reason}}",
        ),
        no_value="none",
    ),
    series(
        "How long connections were open",
        "s",
        "Of connections that ended. Those that are still open are not in it.",
        *(
            (quantile(at, metric="towline_connection_duration_seconds"), name)
            for at, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
        ),
        logarithm=10,
        no_value="none ended",
    ),
    series(
        "Heartbeats",
        "suffix:conn/s",
        "Pings sent to silent clients, and pings without an answer within heartbeat.timeout.",
        (total_rate("towline_heartbeats_sent_total"), "sent"),
        (total_rate("towline_heartbeats_missed_total"), "missed"),
        colors={"missed": "red"},
    ),
    series(
        "Unterminated ends",
        "suffix:conn/s",
        "Connections that ended in the middle of a line. The server drops such a partial line.",
        (total_rate("towline_lines_unterminated_total"), "partial lines"),
        width=8,
    ),
    table(
        "Top reasons",
        "Connections that ended in the chosen time, by reason, and their share of all that ended.",
        (ENDED, ""),
        (f"{ENDED} / scalar(sum({ENDED}) > 0)", ""),
        columns={"reason": "Reason", "Value #A": "Connections", "Value #B": "Share"},
        cell_units={"Connections": "short", "Share": "percentunit"},
        sorted_by="Connections",
        no_value="none ended",
        width=16,
    ),
)

# Where the server acts by itself: server/src/overload/ladder.rs.
LADDER = ((0.85, "yellow"), (0.92, "orange"), (0.95, "red"))

BUFFERS = (
    series(
        "Bytes held",
        "bytes",
        "Memory held for connections: unfinished lines and batches being served (read), unsent replies "
        "(write).",
        (f"sum by (direction) ({gauge('towline_buffer_bytes')})", "{{direction}}"),
        stack=True,
        colors=DIRECTION_COLORS,
        width=12,
    ),
    series(
        "Use of limits.buffer_bytes",
        "percentunit",
        "Memory held for connections divided by its limit, by instance.",
        (
            f"sum by (instance) ({gauge('towline_buffer_bytes')})"
            f" / sum by (instance) ({gauge('towline_buffer_limit_bytes')})",
            "{{instance}}",
        ),
        width=12,
        maximum=1,
        lines=LADDER,
    ),
    series(
        "Pressure",
        "percentunit",
        "Use divided by limit, of the instance with the highest value for each resource. Memory is the "
        "memory held for connections. Timeouts shrink from 85 % on, lines are shed at 92 % and connections refused "
        "at 95 %.",
        (f"max by (resource) ({gauge('towline_overload_pressure_ratio')})", "{{resource}}"),
        width=12,
        maximum=1,
        lines=LADDER,
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

HANDSHAKES = "towline_tls_handshakes_total"

DOOR = (
    series(
        "Connections by listener",
        "suffix:conn/s",
        "Connections per second by the listener that they came by, and whether they were accepted.",
        (total_rate("towline_listener_connections_total", by="listener, result"), "{{listener}} {{result}}"),
        width=6,
    ),
    series(
        "TLS handshakes",
        "suffix:conn/s",
        "TLS handshakes per second, by result, and whether a session was resumed.",
        (total_rate(HANDSHAKES, by="result, resumed"), "{{result}}, resumed {{resumed}}"),
        no_value="none",
        width=6,
    ),
    series(
        "How long handshakes take",
        "s",
        "From the beginning of a TLS handshake to its end, the waits for the client included.",
        *(
            (quantile(at, metric="towline_tls_handshake_duration_seconds"), name)
            for at, name in ((0.5, "p50"), (0.99, "p99"))
        ),
        logarithm=10,
        no_value="none",
        width=6,
    ),
    series(
        "Time left of certificates",
        "s",
        "Until a certificate expires, by its place in tls.cert. TowlineCertificateExpires fires below the line.",
        (
            f"min by (certificate) ({gauge('towline_tls_certificate_expiry_timestamp_seconds')}) - time()",
            "{{certificate}}",
        ),
        lines=((14 * 86400, "red"),),
        no_value="none",
        width=6,
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
        ("Listeners and TLS", DOOR),
        ("Buffers and overload", BUFFERS),
    ),
)
