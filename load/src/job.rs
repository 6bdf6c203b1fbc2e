//! A plan prepared for running, shared read-only by all event loops of a process.

use crate::error::LoadError;
use crate::fanout::{Commands, Format, Wire};
use crate::message::{Message, Stream};
use crate::plan::{Fanout, Plan};
use crate::tls::TlsJob;

/// A plan and what is derived from it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) plan: Plan,
    /// The lines that connections send.
    pub(crate) sent: Stream,
    /// The replies that connections expect.
    pub(crate) expected: Stream,
    /// Whether the replies of a connection differ from each other, so that one out of order is noticed.
    pub(crate) distinct: bool,
    /// The number of unanswered lines at which a flooding connection stops writing.
    pub(crate) lines_in_flight: u64,
    /// Whether the server's heartbeat has the same bytes as a reply.
    pub(crate) heartbeat_alike: bool,
    /// Bytes kept of an unexpected line whose end has not arrived: more than an expected line has, so
    /// that a line cut off here does not become a match.
    pub(crate) partial_bytes_max: usize,
    /// What is derived from the plan of a fan-out.
    pub(crate) fanout: Option<FanoutJob>,
    /// How connections speak TLS, if they do.
    pub(crate) tls: Option<TlsJob>,
}

/// What a fan-out sends and receives.
#[derive(Debug)]
pub(crate) struct FanoutJob {
    pub(crate) wire: Wire,
    pub(crate) commands: Commands,
    pub(crate) format: Format,
}

impl FanoutJob {
    fn new(fanout: &Fanout) -> Result<Self, LoadError> {
        Ok(Self {
            wire: Wire::new(fanout)?,
            commands: Commands::new(fanout)?,
            format: Format::new(fanout.run, fanout.publishers, fanout.message_bytes),
        })
    }
}

/// Least bytes kept of an unexpected line: enough for every `ERR …` line and for an example.
const PARTIAL_BYTES_MIN: usize = 64;

impl Job {
    pub(crate) fn new(plan: Plan) -> Result<Self, LoadError> {
        let message = Message::parse(&plan.message)?;
        let expect = plan.expect.as_deref().map_or_else(|| Ok(message.clone()), Message::parse)?;
        Ok(Self {
            sent: Stream::new(&message, plan.seed),
            expected: Stream::new(&expect, plan.seed),
            distinct: expect.numbers_its_lines(),
            lines_in_flight: lines_in_flight(&plan, &message),
            heartbeat_alike: expect.is_heartbeat(),
            partial_bytes_max: expect.longest_line().max(PARTIAL_BYTES_MIN) + 1,
            tls: TlsJob::new(&plan)?,
            fanout: plan.is_fanout().then(|| FanoutJob::new(&plan.fanout)).transpose()?,
            plan,
        })
    }
}

fn lines_in_flight(plan: &Plan, message: &Message) -> u64 {
    match plan.in_flight.bytes(plan.connections) {
        Some(bytes) => (bytes / message.mean_line().max(1)).max(1),
        None => u64::MAX,
    }
}
