//! The plan of a fan-out: publishers, subscribers, and the protocol between them and the server.

use serde::{Deserialize, Serialize};

use super::{ClientBehavior, Mode, Plan};
use crate::error::LoadError;
use crate::fanout::{MESSAGE_BYTES_MIN, Wire};

/// The largest message of a fan-out.
const MESSAGE_BYTES_MAX: u32 = 64 * 1024;
/// The most publishers: a message has four hexadecimal digits for its publisher.
const PUBLISHERS_MAX: u32 = 0xffff;
/// The most pairs of a subscriber and a publisher. Each has the number of the next message in 8 bytes.
const PAIRS_MAX: u64 = 64 * 1024 * 1024;

/// How publishers pace their messages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum FanoutPace {
    /// Messages per second of all publishers together, on a fixed schedule (an open loop).
    Rate(f64),
    /// As fast as a subscriber receives them: each publisher is at most this many messages ahead of the
    /// last subscriber of its event loop. Without a subscriber that reads: as fast as the server takes
    /// them.
    Window(u32),
}

/// The protocol of a server with publishers and subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FanoutProtocol {
    /// Lines, from the templates of the plan.
    Lines,
    /// `SUBSCRIBE` and `PUBLISH` of Redis (RESP2).
    Resp,
    /// `SUB` and `PUB` of NATS.
    Nats,
}

impl FanoutProtocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Lines, Self::Resp, Self::Nats];

    /// The protocol as `--protocol` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Resp => "resp",
            Self::Nats => "nats",
        }
    }

    /// Parses a name.
    ///
    /// # Errors
    /// When the name is none of [`ALL`](Self::ALL).
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            LoadError::usage(format!("`{text}` is no protocol: expected lines, resp or nats"))
        })
    }
}

/// Who publishes what to whom. Used in [`Mode::Fanout`] only.
///
/// Of the plan's connections the last `publishers` publish, and the others subscribe. The lines of
/// `login`, `subscribe` and `publish` are written as the message of the other modes, with `{topic}` too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fanout {
    /// The protocol. Default: lines.
    pub protocol: FanoutProtocol,
    /// Connections that publish. Default: 1.
    pub publishers: u32,
    /// Subscribers that read nothing once they have subscribed. Default: 0.
    pub stuck: u32,
    /// The topic of all messages. Default: `towline`.
    pub topic: String,
    /// Bytes of a message. Default: 100.
    pub message_bytes: u32,
    /// Lines: what every connection sends first; may be empty. Default: `NICK u{conn}\n`.
    pub login: String,
    /// Lines: what a subscriber sends next; may be empty. Default: empty.
    pub subscribe: String,
    /// Lines: the line around each message. Default: `SAY {message}\n`.
    pub publish: String,
    /// Lines: how the reply to each line of `login` and `subscribe` begins. Default: `OK`.
    pub confirm: String,
    /// The mark of this run's messages; set before worker processes start.
    #[serde(default)]
    pub(crate) run: u32,
}

impl Default for Fanout {
    fn default() -> Self {
        Self {
            protocol: FanoutProtocol::Lines,
            publishers: 1,
            stuck: 0,
            topic: "towline".to_owned(),
            message_bytes: 100,
            login: "NICK u{conn}\\n".to_owned(),
            subscribe: String::new(),
            publish: "SAY {message}\\n".to_owned(),
            confirm: "OK".to_owned(),
            run: 0,
        }
    }
}

/// What a connection of a fan-out does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives every message.
    Subscriber,
    /// Subscribes and then reads nothing.
    Stuck,
    /// Publishes, as publisher of this number.
    Publisher(u32),
}

impl Plan {
    /// Whether this is a fan-out.
    pub(crate) fn is_fanout(&self) -> bool {
        matches!(self.mode, Mode::Fanout { .. })
    }

    /// Subscribers that read.
    pub(crate) fn reading_subscribers(&self) -> u32 {
        self.connections.saturating_sub(self.fanout.publishers).saturating_sub(self.fanout.stuck)
    }

    /// The role of connection `id` in a fan-out. Subscribers that read come first, so that each event
    /// loop has one.
    pub(crate) fn role(&self, id: u32) -> Role {
        let subscribers = self.connections.saturating_sub(self.fanout.publishers);
        if id >= subscribers {
            Role::Publisher(id - subscribers)
        } else if id >= self.reading_subscribers() {
            Role::Stuck
        } else {
            Role::Subscriber
        }
    }

    /// The most event loops that the run can use: one for each connection; in a fan-out one for each
    /// subscriber that reads.
    pub(crate) fn loops_max(&self) -> u32 {
        if self.is_fanout() { self.reading_subscribers().max(1) } else { self.connections }
    }

    pub(super) fn check_fanout(&self) -> Result<(), LoadError> {
        let Mode::Fanout { pace } = self.mode else { return Ok(()) };
        let fanout = &self.fanout;
        if pace == FanoutPace::Window(0) {
            return Err(LoadError::usage(
                "a window of 0 messages sends nothing: expected at least 1",
            ));
        }
        if !(1..=PUBLISHERS_MAX).contains(&fanout.publishers) {
            return Err(LoadError::usage(format!(
                "{} publishers: expected 1 to {PUBLISHERS_MAX}",
                fanout.publishers
            )));
        }
        let subscribers = self.connections.saturating_sub(fanout.publishers);
        if subscribers == 0 {
            return Err(LoadError::usage("a fan-out has no subscriber: expected at least 1"));
        }
        if fanout.stuck > subscribers {
            return Err(LoadError::usage(format!(
                "{} stuck subscribers of {subscribers}: expected no more than there are subscribers",
                fanout.stuck
            )));
        }
        if u64::from(fanout.publishers) * u64::from(subscribers) > PAIRS_MAX {
            return Err(LoadError::usage(format!(
                "{} publishers to {subscribers} subscribers are too many to check: expected at most \
                 {PAIRS_MAX} pairs",
                fanout.publishers
            )));
        }
        if !(MESSAGE_BYTES_MIN as u32..=MESSAGE_BYTES_MAX).contains(&fanout.message_bytes) {
            return Err(LoadError::usage(format!(
                "messages of {} bytes: expected {MESSAGE_BYTES_MIN} (the number and two times are in \
                 each) to {MESSAGE_BYTES_MAX}",
                fanout.message_bytes
            )));
        }
        let printable = |b: u8| b.is_ascii_graphic();
        if fanout.topic.is_empty()
            || fanout.topic.len() > 256
            || !fanout.topic.bytes().all(printable)
        {
            return Err(LoadError::usage(format!(
                "the topic `{}` is not a word: expected 1 to 256 visible ASCII characters",
                fanout.topic.escape_debug()
            )));
        }
        if !self.mix.is_empty()
            && self.connections_as(ClientBehavior::WellBehaved) < self.connections
        {
            return Err(LoadError::usage(
                "--persona and --mix are for the other modes: in a fan-out expected --stuck",
            ));
        }
        Wire::new(fanout).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TargetAddr;

    fn plan() -> Plan {
        let mut plan = Plan::new(TargetAddr::resolve("127.0.0.1:9").unwrap());
        plan.mode = Mode::Fanout { pace: FanoutPace::Rate(10.0) };
        plan.connections = 11;
        plan
    }

    #[test]
    fn readers_come_first_and_publishers_last() {
        let mut plan = plan();
        plan.fanout.stuck = 4;
        plan.fanout.publishers = 2;
        let roles: Vec<Role> = (0..11).map(|id| plan.role(id)).collect();
        assert_eq!(roles[..5], [Role::Subscriber; 5]);
        assert_eq!(roles[5..9], [Role::Stuck; 4]);
        assert_eq!(roles[9..], [Role::Publisher(0), Role::Publisher(1)]);
        assert_eq!(plan.loops_max(), 5);
    }

    #[test]
    fn a_fan_out_that_cannot_be_checked_is_refused() {
        type Change = fn(&mut Plan);
        let changes: [(Change, &str); 9] = [
            (|p| p.mode = Mode::Fanout { pace: FanoutPace::Window(0) }, "window of 0"),
            (|p| p.fanout.publishers = 0, "0 publishers"),
            (|p| p.fanout.publishers = 11, "no subscriber"),
            (|p| p.fanout.stuck = 11, "11 stuck"),
            (|p| p.fanout.message_bytes = 10, "10 bytes"),
            (|p| p.fanout.topic = "a b".into(), "not a word"),
            (|p| p.fanout.publish = "SAY hello\\n".into(), "{message}"),
            (|p| p.fanout.publish = "SAY {message}".into(), "newline"),
            (|p| p.fanout.login = "NICK u".into(), "newline"),
        ];
        plan().check().unwrap();
        for (change, word) in changes {
            let mut plan = plan();
            change(&mut plan);
            let error = plan.check().unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }
}
