//! What a supervisor and its workers tell each other.
//!
//! Rare messages are JSON, which begins with a brace; the two that come with every connection have a
//! fixed form behind a first byte of their own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use towline_config::{Key, Settings};

use towline::internal::Snapshot;

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SupervisorMsg {
    /// Begin to serve; the first message of all.
    Serve(SettingsText),
    /// Serve on, with these settings.
    Reload(SettingsText),
    /// Say what was counted.
    Count,
    /// Finish what was taken, and end. Connections that waited in the kernel's queue may follow.
    Drain,
    /// No connection follows.
    Last,
    /// End now.
    Cut,
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum WorkerMsg {
    /// It serves.
    Ready,
    /// It cannot serve, or not with the new settings.
    Failed(String),
    /// It serves with the new settings.
    Reloaded,
    /// What it counted.
    Counted(Box<Snapshot>),
    /// It was told to end by somebody else, and would like to drain.
    Leaving,
    /// It has drained, and had to cut so many connections. The last message of all, behind its last
    /// count.
    Ended(u64),
}

/// Settings as text, key by key: what was validated once is not read from files again, which may
/// have changed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettingsText(Vec<(String, String)>);

impl SettingsText {
    pub(crate) fn of(settings: &Settings) -> Self {
        let written = |key: &Key| (key.name.to_owned(), key.value(settings).to_string());
        Self(Key::all().iter().map(written).collect())
    }

    /// What [`of`](Self::of) was given; `None` if another version of the program wrote it.
    pub(crate) fn read(&self) -> Option<Settings> {
        let mut settings = Settings::default();
        for (name, text) in &self.0 {
            Key::find(name)?.set(&mut settings, text).ok()?;
        }
        Some(settings)
    }
}

const CONNECTION: u8 = 1;
const ACK: u8 = 2;

/// A connection, which comes as a descriptor beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionMsg {
    /// To be named in the [`Ack`] when it ends, if it must be told from others.
    pub(crate) tag: Option<u32>,
    pub(crate) peer: Option<SocketAddr>,
}

/// How far a worker has come with what it was connection, counted from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Connections it took out of the channel.
    pub(crate) taken: u64,
    /// Connections without a tag that have ended.
    pub(crate) ended_untagged: u64,
    /// The tags of those with one that ended since the ack before.
    pub(crate) tags: Vec<u32>,
}

/// Marks in one message, so that it stays short.
pub(crate) const TAGS_MAX: usize = 1024;

/// A message from the supervisor.
#[derive(Debug)]
pub(crate) enum ToWorker {
    SupervisorMsg(SupervisorMsg),
    ConnectionMsg(ConnectionMsg),
}

/// A message from a worker.
#[derive(Debug)]
pub(crate) enum ToSupervisor {
    WorkerMsg(WorkerMsg),
    Ack(Ack),
}

impl SupervisorMsg {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        json(self)
    }
}

impl WorkerMsg {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        json(self)
    }
}

fn json(message: &impl Serialize) -> Vec<u8> {
    // Plain data with text for keys: there is nothing in it that JSON could not hold.
    serde_json::to_vec(message).unwrap_or_default()
}

impl ToWorker {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&CONNECTION, rest) => ConnectionMsg::read(rest).map(Self::ConnectionMsg),
            _ => serde_json::from_slice(bytes).ok().map(Self::SupervisorMsg),
        }
    }
}

impl ToSupervisor {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ACK, rest) => Ack::read(rest).map(Self::Ack),
            _ => serde_json::from_slice(bytes).ok().map(Self::WorkerMsg),
        }
    }
}

impl ConnectionMsg {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![CONNECTION];
        // No tag is as large: tags number open connections.
        bytes.extend(self.tag.unwrap_or(u32::MAX).to_le_bytes());
        if let Some(peer) = self.peer {
            bytes.extend(peer.port().to_le_bytes());
            match peer.ip() {
                IpAddr::V4(ip) => bytes.extend(ip.octets()),
                IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first_chunk()?;
        let tag = Some(u32::from_le_bytes(*tag)).filter(|tag| *tag != u32::MAX);
        if rest.is_empty() {
            return Some(Self { tag, peer: None });
        }
        let (port, ip) = rest.split_first_chunk()?;
        let ip: IpAddr = match <[u8; 4]>::try_from(ip) {
            Ok(octets) => octets.into(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        };
        Some(Self { tag, peer: Some((ip, u16::from_le_bytes(*port)).into()) })
    }
}

impl Ack {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![ACK];
        bytes.extend(self.taken.to_le_bytes());
        bytes.extend(self.ended_untagged.to_le_bytes());
        bytes.extend(self.tags.iter().flat_map(|tag| tag.to_le_bytes()));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (taken, rest) = bytes.split_first_chunk()?;
        let (ended_untagged, rest) = rest.split_first_chunk()?;
        let (tags, rest) = rest.as_chunks();
        let tags = tags.iter().map(|tag| u32::from_le_bytes(*tag)).collect();
        let [taken, ended_untagged] = [taken, ended_untagged].map(|n| u64::from_le_bytes(*n));
        rest.is_empty().then_some(Self { taken, ended_untagged, tags })
    }
}

#[cfg(test)]
mod tests {
    use towline_config::{FlushPolicy, Listen};

    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let mut settings = Settings::default();
        settings.server.listen = Listen::Unix("/run/a line".into());
        settings.flush.policy = FlushPolicy::Every(7.try_into().expect("not zero"));
        settings.timeouts.idle = Some(std::time::Duration::from_millis(1_234));
        for settings in [settings, Settings::default()] {
            assert_eq!(SettingsText::of(&settings).read(), Some(settings));
        }
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let peers = [None, Some("127.0.0.1:80"), Some("[2001:db8::1]:65535")];
        for peer in peers {
            let peer = peer.map(|peer| peer.parse().expect("an address"));
            for tag in [None, Some(0), Some(4_711)] {
                let connection = ConnectionMsg { tag, peer };
                let Some(ToWorker::ConnectionMsg(read)) = ToWorker::read(&connection.bytes())
                else {
                    panic!("{connection:?} is not read")
                };
                assert_eq!(read, connection);
            }
        }
        let ack = Ack { taken: 3, ended_untagged: u64::MAX, tags: vec![1, 0, 9] };
        let Some(ToSupervisor::Ack(read)) = ToSupervisor::read(&ack.bytes()) else {
            panic!("{ack:?} is not read")
        };
        assert_eq!(read, ack);
        let message = WorkerMsg::Counted(Box::default()).bytes();
        assert!(matches!(
            ToSupervisor::read(&message),
            Some(ToSupervisor::WorkerMsg(WorkerMsg::Counted(_)))
        ));
        let message = SupervisorMsg::Drain.bytes();
        assert!(matches!(
            ToWorker::read(&message),
            Some(ToWorker::SupervisorMsg(SupervisorMsg::Drain))
        ));
    }

    #[test]
    fn what_is_no_message_is_none() {
        let nonsense: [&[u8]; 6] =
            [b"", b"{", &[9], &[CONNECTION], &[CONNECTION, 0, 0, 0, 0, 1], &[ACK, 0]];
        for bytes in nonsense {
            assert!(ToWorker::read(bytes).is_none(), "{bytes:?}");
            assert!(ToSupervisor::read(bytes).is_none(), "{bytes:?}");
        }
    }
}
