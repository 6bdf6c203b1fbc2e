//! What a lane counts: plain numbers that add up over lanes, processes and hosts.

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Adds another's counts to these.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// What was counted since `earlier` was copied from these counters.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($field: self.$field - earlier.$field,)* }
            }
        }
    };
}
counters! {
    /// Counted per lane and interval; every field only grows.
    Counters {
        /// Whole lines handed to the kernel.
        lines_sent,
        /// Lines that came back, refusals (`ERR …`) included.
        lines_received,
        /// Bytes handed to the kernel.
        bytes_sent,
        /// Bytes taken from the kernel.
        bytes_received,
        /// Reads that brought bytes.
        reads,
        /// Writes that took bytes.
        writes,
        /// Connections that were made.
        established,
        /// Connects the target refused.
        refused,
        /// Connects that got no answer in time.
        connect_timeout,
        /// Connects for which this host had no local port left.
        no_port,
        /// Connects from a source address that this host does not have.
        no_address,
        /// Connects for which this process had no descriptor left.
        no_descriptor,
        /// Connects that failed otherwise (unreachable, reset, out of memory).
        connect_other,
        /// Connections the server reset during the run.
        reset,
        /// Connections the server closed during the run.
        closed,
        /// Replies that did not come within the reply timeout (ping-pong).
        timeout,
        /// Lines still unanswered when their connection ended.
        unanswered,
        /// Lines due by the schedule but never sent (paced).
        unsent,
        /// Replies compared with what was sent.
        checked,
        /// Replies whose bytes are not those of any line expected.
        corrupted,
        /// Replies that came more often than their line was sent.
        duplicated,
        /// Replies that came after a later line's reply.
        reordered,
        /// Lines that never came back although later ones did, or although the server fell silent.
        missing,
        /// Heartbeats of the server (`ping`) taken out of the replies.
        heartbeats,
        /// `ERR timeout` lines.
        err_timeout,
        /// `ERR overloaded` lines.
        err_overloaded,
        /// `ERR line too long` lines.
        err_line_too_long,
        /// `ERR too many connections` lines.
        err_too_many_connections,
        /// Other lines that begin with `ERR `.
        err_other,
    }
}

counters! {
    /// Counted per role; kept apart from the well-behaved connections' figures.
    BadClientCounters {
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

impl Counters {
    /// Connects that failed, whatever the kind.
    pub fn connect_failed(&self) -> u64 {
        self.refused
            + self.connect_timeout
            + self.no_port
            + self.no_address
            + self.no_descriptor
            + self.connect_other
    }

    /// Connections that ended before the run did.
    pub fn closed_early(&self) -> u64 {
        self.reset + self.closed
    }

    /// Replies that are not what belongs in their place.
    pub fn mismatched(&self) -> u64 {
        self.corrupted + self.duplicated + self.reordered
    }

    /// Lines by which the server refused.
    pub fn error_lines(&self) -> u64 {
        self.err_timeout
            + self.err_overloaded
            + self.err_line_too_long
            + self.err_too_many_connections
            + self.err_other
    }
}
