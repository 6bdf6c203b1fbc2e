//! A plan made ready to run: what all lanes of a process share, read only.

use crate::error::LoadError;
use crate::message::{Message, Stream};
use crate::plan::Plan;

/// A plan and what follows from it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) plan: Plan,
    /// What every connection sends.
    pub(crate) sent: Stream,
    /// What every connection expects back.
    pub(crate) expected: Stream,
    /// Whether the replies of a connection differ, so that one out of place can be told.
    pub(crate) distinct: bool,
    /// Lines a flooding connection may have unanswered.
    pub(crate) lines_in_flight: u64,
    /// Whether a server's heartbeat looks like a reply.
    pub(crate) heartbeat_alike: bool,
}

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
