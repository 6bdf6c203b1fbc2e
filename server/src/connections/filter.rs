//! Conditions by which connections are chosen: `peer=10.0.0.0/8,state=write_wait,wait>10s`.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use towline_middleware::{connections::PeerAddress, stats::State};
use towline_units::{parse_count, parse_duration, parse_size};

use super::{ListedConnection, nanos, query::Needs};
use crate::counts::WriteWaitCause;

/// Conditions that all must hold. Without one it matches every connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

/// A text that is no condition: one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCondition(String);

impl fmt::Display for InvalidCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidCondition {}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Peer(Peers),
    State(State),
    Cause(WriteWaitCause),
    Worker(usize),
    Measure(Measure, Comparison, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Peers {
    Unix,
    /// The first bits of an address.
    Network(IpAddr, u32),
    One(SocketAddr),
}

/// What can be compared: times in nanoseconds, sizes in bytes, lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Idle,
    Age,
    Wait,
    Unsent,
    Bytes,
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Above,
    Below,
}

/// Most conditions in one filter.
const CONDITIONS_MAX: usize = 16;

const MEASURES: [(&str, Measure); 6] = [
    ("idle", Measure::Idle),
    ("age", Measure::Age),
    ("wait", Measure::Wait),
    ("unsent", Measure::Unsent),
    ("bytes", Measure::Bytes),
    ("lines", Measure::Lines),
];

const EXPECTED: &str = "expected peer=ADDRESS, state=STATE, cause=CAUSE, worker=NUMBER, or idle, age, wait, \
                        unsent, bytes or lines with > or < and a value";

impl Filter {
    /// Reads conditions separated by commas. The empty text has none.
    ///
    /// # Errors
    /// For the first one that cannot be read, in one sentence.
    pub fn parse(text: &str) -> Result<Self, InvalidCondition> {
        let mut conditions = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if conditions.len() == CONDITIONS_MAX {
                let why = format!("more than {CONDITIONS_MAX} conditions");
                return Err(InvalidCondition(why));
            }
            conditions.push(Condition::parse(word).map_err(InvalidCondition)?);
        }
        Ok(Self(conditions))
    }

    /// Adds the condition that a connection is in `state`.
    ///
    /// # Errors
    /// When there is no such state.
    pub(super) fn and_state(mut self, state: &str) -> Result<Self, InvalidCondition> {
        self.0.push(Condition::State(parse_state(state).map_err(InvalidCondition)?));
        Ok(self)
    }

    /// Both must hold.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// Whether it matches every connection.
    pub const fn matches_all(&self) -> bool {
        self.0.is_empty()
    }

    /// What it needs of the kernel.
    pub(crate) fn needs(&self) -> Needs {
        let needs = |condition: &Condition| match condition {
            Condition::Measure(Measure::Idle | Measure::Bytes, ..) => Needs::Details,
            Condition::Measure(Measure::Unsent, ..) => Needs::Queues,
            _ => Needs::Nothing,
        };
        self.0.iter().map(needs).max().unwrap_or(Needs::Nothing)
    }

    /// Whether it asks why replies wait.
    pub(super) fn asks_for_causes(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Condition::Cause(_)))
    }

    /// Whether a connection meets all conditions. What is not known of it meets none.
    pub(crate) fn matches(&self, connection: &ListedConnection) -> bool {
        self.0.iter().all(|condition| condition.holds(connection))
    }
}

impl Condition {
    fn parse(word: &str) -> Result<Self, String> {
        let at = word
            .find(['=', '<', '>'])
            .ok_or_else(|| format!("{word:?} is no condition: {EXPECTED}"))?;
        let (name, rest) = word.split_at(at);
        let (operator, value) = rest.split_at(1);
        let (name, value) = (name.trim(), value.trim());
        if let Some((_, measure)) = MEASURES.iter().find(|(known, _)| *known == name) {
            let comparison = match operator {
                ">" => Comparison::Above,
                "<" => Comparison::Below,
                _ => return Err(format!("{word:?}: expected {name}>VALUE or {name}<VALUE")),
            };
            let value = measure.parse(value).map_err(|why| format!("{word:?}: {why}"))?;
            return Ok(Self::Measure(*measure, comparison, value));
        }
        match (name, operator) {
            ("peer", "=") => Peers::parse(value).map(Self::Peer).ok_or_else(|| {
                format!("{word:?}: expected an address such as 10.0.0.7, 10.0.0.0/8, 10.0.0.7:4711, [2001:db8::1]:4711, or unix")
            }),
            ("state", "=") => parse_state(value).map(Self::State),
            ("cause", "=") => WriteWaitCause::parse(value).map(Self::Cause).ok_or_else(|| {
                format!("{word:?}: expected peer, network, buffer or unknown")
            }),
            ("worker", "=") => value
                .parse()
                .map(Self::Worker)
                .map_err(|_invalid| format!("{word:?}: expected the number of a worker, such as 0")),
            ("peer" | "state" | "cause" | "worker", _) => {
                Err(format!("{word:?}: expected {name}=VALUE"))
            }
            _ => Err(format!("{word:?} is no condition: {EXPECTED}")),
        }
    }

    fn holds(&self, connection: &ListedConnection) -> bool {
        match self {
            Self::Peer(peers) => peers.contain(connection.row.peer),
            Self::State(state) => connection.row.state == *state,
            Self::Cause(cause) => connection.cause == Some(*cause),
            Self::Worker(worker) => connection.row.id.worker == *worker,
            Self::Measure(measure, comparison, bound) => {
                measure.of(connection).is_some_and(|value| match comparison {
                    Comparison::Above => value > *bound,
                    Comparison::Below => value < *bound,
                })
            }
        }
    }
}

fn parse_state(text: &str) -> Result<State, String> {
    State::ALL.into_iter().find(|state| state.label() == text).ok_or_else(|| {
        let all = State::ALL.map(State::label).join(", ");
        format!("{text:?} is no state: expected one of {all}")
    })
}

impl Measure {
    fn parse(self, text: &str) -> Result<u64, String> {
        match self {
            Self::Idle | Self::Age | Self::Wait => parse_duration(text).map(nanos).map_err(|why| {
                format!("{text:?} is no time ({why}): expected one such as 10s or 5m")
            }),
            Self::Unsent | Self::Bytes => parse_size(text)
                .map_err(|why| format!("{text:?} is no size ({why}): expected one such as 64KiB")),
            Self::Lines => parse_count(text)
                .map_err(|why| format!("{text:?} is no count ({why}): expected one such as 1000")),
        }
    }

    fn of(self, connection: &ListedConnection) -> Option<u64> {
        match self {
            Self::Idle => connection.idle().map(nanos),
            Self::Age => Some(nanos(connection.row.age)),
            Self::Wait => Some(nanos(connection.row.write_wait)),
            Self::Unsent => Some(connection.unsent_bytes()),
            Self::Bytes => connection.transferred_bytes(),
            Self::Lines => Some(connection.row.lines),
        }
    }
}

impl Peers {
    fn parse(text: &str) -> Option<Self> {
        if text == "unix" {
            return Some(Self::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(Self::One(SocketAddr::new(address.ip().to_canonical(), address.port())));
        }
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self::Network(ip, bits))
    }

    fn contain(&self, peer: PeerAddress) -> bool {
        match (self, peer) {
            (Self::Unix, PeerAddress::Unix) => true,
            (Self::One(wanted), PeerAddress::Ip(peer)) => *wanted == peer,
            (Self::Network(network, bits), PeerAddress::Ip(peer)) => match (network, peer.ip()) {
                (IpAddr::V4(network), IpAddr::V4(peer)) => {
                    same(network.to_bits().into(), peer.to_bits().into(), 32, *bits)
                }
                (IpAddr::V6(network), IpAddr::V6(peer)) => {
                    same(network.to_bits(), peer.to_bits(), 128, *bits)
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// Whether the first `bits` of two addresses of `of` bits are the same.
fn same(one: u128, other: u128, of: u32, bits: u32) -> bool {
    (one ^ other).checked_shr(of - bits).unwrap_or(0) == 0
}
