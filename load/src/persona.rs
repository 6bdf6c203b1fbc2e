//! What is counted of connections that behave badly on purpose.

use crate::counters::counters;

counters! {
    /// Counted per role; kept apart from the well-behaved connections' figures.
    PersonaCounters {
        /// Connections that play the role.
        connections,
        /// Times one was made: more than `connections` for roles that come back.
        established,
        /// Connects that failed.
        connect_failed,
        /// Times the server ended one.
        closed_by_server,
        /// Bytes handed to the kernel.
        bytes_sent,
        /// Lines read back.
        lines_received,
    }
}
