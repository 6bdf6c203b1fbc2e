//! The figures that only a fan-out has.

use serde::{Deserialize, Serialize};

use crate::counters::Counters;
use crate::plan::Plan;

/// The figures of a fan-out that other modes do not have. The messages published are `lines.sent` of the
/// report, those received `lines.received`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanoutReport {
    /// `lines`, `resp` or `nats`.
    pub protocol: String,
    /// Connections that publish.
    pub publishers: u64,
    /// Connections that subscribe and read.
    pub subscribers: u64,
    /// Connections that subscribe and read nothing more.
    pub stuck: u64,
    /// Those of them whose connection the server ended.
    pub stuck_ended: u64,
    /// Messages of another run or of no publisher; part of `verify.mismatched`.
    pub foreign: u64,
}

impl FanoutReport {
    /// The figures of a run; `None` if it is no fan-out.
    pub(super) fn of(plan: &Plan, total: &Counters) -> Option<Self> {
        plan.is_fanout().then(|| Self {
            protocol: plan.fanout.protocol.name().to_owned(),
            publishers: plan.fanout.publishers.into(),
            subscribers: plan.reading_subscribers().into(),
            stuck: plan.fanout.stuck.into(),
            stuck_ended: total.stuck_ended,
            foreign: total.foreign,
        })
    }

    /// Adds the figures of another host.
    pub(super) fn add(&mut self, other: &Self) {
        if self.protocol != other.protocol {
            "mixed".clone_into(&mut self.protocol);
        }
        self.publishers += other.publishers;
        self.subscribers += other.subscribers;
        self.stuck += other.stuck;
        self.stuck_ended += other.stuck_ended;
        self.foreign += other.foreign;
    }
}
