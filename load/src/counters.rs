//! Counters of an event loop: plain numbers that add up over loops, processes and hosts.

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Adds `other` to these counters.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// The difference to `earlier`, an older copy of these counters.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($field: self.$field - earlier.$field,)* }
            }
        }
    };
}
counters! {
    /// What well-behaved connections did. Within an event loop every field only grows.
    Counters {
        /// Whole lines given to the kernel.
        lines_sent,
        /// Lines received, `ERR …` lines included.
        lines_received,
        /// Bytes given to the kernel.
        bytes_sent,
        /// Bytes received.
        bytes_received,
        /// Reads that returned bytes.
        reads,
        /// Writes that took bytes.
        writes,
        /// Connections established.
        established,
        /// Connects the target refused.
        refused,
        /// Connects without an answer within the connect timeout.
        connect_timeout,
        /// Connects that failed because this host had no local port left.
        no_port,
        /// Connects from a source address that this host does not have.
        no_address,
        /// Connects that failed because this process had no descriptor left.
        no_descriptor,
        /// Connections whose opening the server refused or did not confirm (fan-out).
        not_subscribed,
        /// Connections whose TLS handshake failed.
        tls_handshake,
        /// Connections whose TLS handshake did not end within the connect timeout.
        tls_timeout,
        /// Stuck subscribers whose connection the server ended.
        stuck_ended,
        /// Connects that failed for another reason (unreachable, reset, out of memory).
        connect_other,
        /// Connections that failed during the run, in most cases reset by the server.
        reset,
        /// Connections that the server closed during the run.
        closed,
        /// Replies that did not arrive within the reply timeout (ping-pong).
        timeout,
        /// Lines without a reply that are not counted as `missing`.
        unanswered,
        /// Lines that were due but never sent (paced).
        unsent,
        /// Replies compared with what is expected, `ERR …` lines included.
        checked,
        /// Replies that match no expected line.
        corrupted,
        /// Messages of a fan-out that are of another run, or of no publisher.
        foreign,
        /// Replies received more often than their line was sent.
        duplicated,
        /// Replies received after the reply to a later line.
        reordered,
        /// Lines whose reply did not arrive, although it was waited for.
        missing,
        /// `ERR …` lines in place of replies (with verification).
        error_replies,
        /// Heartbeats of the server (`ping`), which are not counted as replies.
        heartbeats,
        /// `ERR timeout` lines.
        err_timeout,
        /// `ERR overloaded` lines.
        err_overloaded,
        /// `ERR line too long` lines.
        err_line_too_long,
        /// Lines that begin with `ERR too many connections`: refusals of a connection, no line's reply.
        err_too_many_connections,
        /// Other lines that begin with `ERR `.
        err_other,
    }
}

counters! {
    /// What the bad clients of one behavior did, apart from the figures of the run.
    BadClientCounters {
        /// Bad clients.
        connections,
        /// Connections established: more than `connections` if bad clients connected again.
        established,
        /// Connects that failed.
        connect_failed,
        /// Connections that the server ended.
        closed_by_server,
        /// Bytes given to the kernel.
        bytes_sent,
        /// Lines received.
        lines_received,
    }
}

impl Counters {
    /// Failed connects of all kinds.
    pub fn connect_failed(&self) -> u64 {
        self.refused
            + self.connect_timeout
            + self.no_port
            + self.no_address
            + self.no_descriptor
            + self.not_subscribed
            + self.tls_handshake
            + self.tls_timeout
            + self.connect_other
    }

    /// Connections that the server ended during the run.
    pub fn closed_early(&self) -> u64 {
        self.reset + self.closed
    }

    /// Replies other than the expected ones, `ERR …` lines aside.
    pub fn mismatched(&self) -> u64 {
        self.corrupted + self.foreign + self.duplicated + self.reordered
    }

    /// Findings of verification: replies that were wrong, error lines or missing.
    pub(crate) fn wrong(&self) -> u64 {
        self.mismatched() + self.error_replies + self.missing
    }

    /// `ERR …` lines of all kinds.
    pub fn error_lines(&self) -> u64 {
        self.err_timeout
            + self.err_overloaded
            + self.err_line_too_long
            + self.err_too_many_connections
            + self.err_other
    }
}
