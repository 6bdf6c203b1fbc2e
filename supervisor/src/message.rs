//! The messages between the supervisor and its workers.
//!
//! Rare messages are JSON, which begins with a brace. The two that accompany every connection,
//! [`ConnectionMsg`] and [`Ack`], have a binary form behind a first byte of their own.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use towline::internal::{
    ClosedJson, ListedRow, Rows, Snapshot, WantedRows, commands::Closing, yielding,
};
use towline_config::{Key, Settings};

use crate::lists::parts;

/// A rare message from the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SupervisorMsg {
    /// Start to serve with these settings. Always the first message.
    Serve(SettingsText, WorkerPlace),
    /// Apply these settings.
    Reload(SettingsText),
    /// Send the counts.
    SendCounts,
    /// Send rows of open connections.
    SendRows(WantedRows),
    /// Send the last connections that ended, up to this many.
    SendClosed(usize),
    /// Ask these connections to close.
    Close(Vec<Id>, Closing),
    /// Drain and end. Connections from the kernel's accept queue may still follow.
    Drain,
    /// No further connection follows.
    NoMoreConnections,
    /// Cut remaining connections and end.
    Cut,
}

/// A connection: its worker and its number there.
pub(crate) type Id = (usize, u32);

/// Most connections in one message.
pub(crate) const IDS_MAX: usize = 2048;

/// Which of the worker processes one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerPlace {
    /// Its slot.
    pub(crate) index: usize,
    /// How often the process of the slot was started again.
    pub(crate) restarts: u64,
}

/// A rare message from a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum WorkerMsg {
    /// The worker serves.
    Ready,
    /// The worker cannot start, or did not apply the new settings; with the reason.
    Failed(String),
    /// The worker applied the new settings.
    Reloaded,
    /// The worker's counts.
    Counts(Box<Snapshot>),
    /// Some connections that ended, and whether they are the last of an answer.
    Closed(Vec<ClosedJson>, bool),
    /// Those of the connections to close that are not open.
    Missing(Vec<Id>),
    /// The worker received SIGTERM and asks to be drained.
    StopRequested,
    /// The worker has drained and cut this many connections. Its last message, after its last counts.
    Ended(u64),
}

/// Settings as text, key by key. The configuration files are not read again for a worker: they may
/// have changed since the supervisor validated them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SettingsText {
    keys: Vec<(String, String)>,
    /// Certificates and keys, if there is TLS: a descriptor that is sent beside the message.
    #[serde(skip)]
    pub(crate) material: Option<Arc<OwnedFd>>,
}

impl SettingsText {
    pub(crate) fn encode(settings: &Settings) -> Self {
        let text = |key: &Key| (key.name.to_owned(), key.value(settings).to_string());
        Self { keys: Key::all().iter().map(text).collect(), material: None }
    }

    /// The settings that [`encode`](Self::encode) was given.
    ///
    /// # Errors
    /// If another version of the program encoded them, or a file of a list has become wrong since.
    pub(crate) fn decode(&self) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (name, text) in &self.keys {
            let key =
                Key::find(name).ok_or_else(|| format!("{name} is a setting of another version"))?;
            key.set(&mut settings, text).map_err(|error| format!("{name} = \"{text}\" {error}"))?;
        }
        Ok(settings)
    }
}

/// First byte of a [`ConnectionMsg`].
const CONNECTION: u8 = 1;
/// First byte of an [`Ack`].
const ACK: u8 = 2;
/// First byte of a [`RowsPart`].
const ROWS: u8 = 3;

/// A connection, whose descriptor is sent beside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionMsg {
    /// Identifies the connection in the [`Ack`] after it has ended, if the supervisor needs to know
    /// which one ended.
    pub(crate) tag: Option<u32>,
    /// The peer's address.
    pub(crate) peer: Option<SocketAddr>,
    /// Which entry of `server.listen` it came by.
    pub(crate) listener: u8,
}

/// A worker's progress with its connections; both numbers count from its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Connections received.
    pub(crate) received: u64,
    /// Connections without a tag that have ended.
    pub(crate) ended_untagged: u64,
    /// Tags of connections that ended since the previous ack.
    pub(crate) tags: Vec<u32>,
}

/// Rows of open connections, as they are sent: the task that receives them has connections to dispatch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RowsPart {
    /// In the last message of an answer: how many connections are open, and how many of them match.
    pub(crate) last: Option<(u32, u32)>,
    rows: Vec<u8>,
}

/// Most rows in one message, so that they fit it.
const ROWS_MAX: usize = 800;

/// Most connections that ended in one message, so that they fit it.
const CLOSED_MAX: usize = 100;

/// Most tags in one ack, so that it fits a message.
pub(crate) const TAGS_MAX: usize = 1024;

/// Any message from the supervisor.
#[derive(Debug)]
pub(crate) enum ToWorker {
    Control(SupervisorMsg),
    Connection(ConnectionMsg),
}

/// Any message from a worker.
#[derive(Debug)]
pub(crate) enum ToSupervisor {
    Control(WorkerMsg),
    Ack(Ack),
    Rows(RowsPart),
}

impl SupervisorMsg {
    /// The descriptor that is sent beside it.
    pub(crate) fn descriptor(&self) -> Option<&OwnedFd> {
        match self {
            Self::Serve(settings, _) | Self::Reload(settings) => settings.material.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        json(self)
    }
}

impl WorkerMsg {
    pub(crate) fn encode(&self) -> Vec<u8> {
        json(self)
    }

    /// The messages of an answer.
    pub(crate) fn encode_closed(closed: Vec<ClosedJson>) -> Vec<Vec<u8>> {
        let parts = parts(closed, CLOSED_MAX);
        parts.map(|(closed, last)| Self::Closed(closed, last).encode()).collect()
    }
}

fn json(message: &impl Serialize) -> Vec<u8> {
    // Cannot fail: plain data, with text for keys.
    serde_json::to_vec(message).unwrap_or_default()
}

impl ToWorker {
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&CONNECTION, rest) => ConnectionMsg::decode(rest).map(Self::Connection),
            _ => serde_json::from_slice(bytes).ok().map(Self::Control),
        }
    }
}

impl ToSupervisor {
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ACK, rest) => Ack::decode(rest).map(Self::Ack),
            (&ROWS, rest) => RowsPart::parse(rest).map(Self::Rows),
            _ => serde_json::from_slice(bytes).ok().map(Self::Control),
        }
    }
}

impl ConnectionMsg {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![CONNECTION, self.listener];
        // No tag is that large: tags number open connections.
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

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (listener, rest) = bytes.split_first()?;
        let listener = *listener;
        let (tag, rest) = rest.split_first_chunk()?;
        let tag = Some(u32::from_le_bytes(*tag)).filter(|tag| *tag != u32::MAX);
        if rest.is_empty() {
            return Some(Self { tag, peer: None, listener });
        }
        let (port, ip) = rest.split_first_chunk()?;
        let ip: IpAddr = match <[u8; 4]>::try_from(ip) {
            Ok(octets) => octets.into(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        };
        let peer = Some((ip, u16::from_le_bytes(*port)).into());
        Some(Self { tag, peer, listener })
    }
}

impl Ack {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![ACK];
        bytes.extend(self.received.to_le_bytes());
        bytes.extend(self.ended_untagged.to_le_bytes());
        bytes.extend(self.tags.iter().flat_map(|tag| tag.to_le_bytes()));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (received, rest) = bytes.split_first_chunk()?;
        let (ended_untagged, rest) = rest.split_first_chunk()?;
        let (tags, rest) = rest.as_chunks();
        let tags = tags.iter().map(|tag| u32::from_le_bytes(*tag)).collect();
        let [received, ended_untagged] = [received, ended_untagged].map(|n| u64::from_le_bytes(*n));
        rest.is_empty().then_some(Self { received, ended_untagged, tags })
    }
}

impl RowsPart {
    /// The messages of an answer.
    pub(crate) fn encode_all(Rows { rows, open, matched, .. }: Rows) -> Vec<Vec<u8>> {
        let counts = (open as u32, matched as u32);
        let parts = parts(rows, ROWS_MAX);
        parts.map(|(rows, last)| Self::encode(&rows, last.then_some(counts))).collect()
    }

    /// The message with these rows.
    fn encode(rows: &[ListedRow], last: Option<(u32, u32)>) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(2 + 2 * size_of::<u32>() + rows.len() * ListedRow::BYTES);
        bytes.extend([ROWS, u8::from(last.is_some())]);
        let (open, matched) = last.unwrap_or_default();
        bytes.extend([open, matched].map(u32::to_le_bytes).as_flattened());
        for row in yielding(rows.iter()) {
            row.encode(&mut bytes);
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (is_last, rest) = bytes.split_first()?;
        let (open, rest) = rest.split_first_chunk()?;
        let (matched, rows) = rest.split_first_chunk()?;
        let counts = (u32::from_le_bytes(*open), u32::from_le_bytes(*matched));
        let whole = rows.len().is_multiple_of(ListedRow::BYTES);
        whole.then(|| Self { last: (*is_last != 0).then_some(counts), rows: rows.to_vec() })
    }

    /// The rows. One that cannot be read is left out.
    pub(crate) fn rows(&self) -> impl Iterator<Item = ListedRow> {
        self.rows.as_chunks().0.iter().filter_map(ListedRow::decode)
    }
}

#[cfg(test)]
mod tests {
    use towline_config::{FlushPolicy, Listen};

    use super::*;

    #[test]
    fn settings_survive_encoding_and_decoding() {
        let mut settings = Settings::default();
        settings.server.listen = vec![Listen::Unix("/run/a line".into()).into()];
        settings.flush.policy = FlushPolicy::Every(7.try_into().expect("not zero"));
        settings.timeouts.idle = Some(std::time::Duration::from_millis(1_234));
        for settings in [settings, Settings::default()] {
            assert_eq!(SettingsText::encode(&settings).decode(), Ok(settings));
        }
    }

    #[test]
    fn messages_survive_encoding_and_decoding() {
        let peers = [None, Some("127.0.0.1:80"), Some("[2001:db8::1]:65535")];
        for peer in peers {
            let peer = peer.map(|peer| peer.parse().expect("an address"));
            for tag in [None, Some(0), Some(4_711)] {
                let connection = ConnectionMsg { tag, peer, listener: 7 };
                let Some(ToWorker::Connection(decoded)) = ToWorker::decode(&connection.encode())
                else {
                    panic!("{connection:?} is not decoded")
                };
                assert_eq!(decoded, connection);
            }
        }
        let ack = Ack { received: 3, ended_untagged: u64::MAX, tags: vec![1, 0, 9] };
        let Some(ToSupervisor::Ack(decoded)) = ToSupervisor::decode(&ack.encode()) else {
            panic!("{ack:?} is not decoded")
        };
        assert_eq!(decoded, ack);
        let Some(ToSupervisor::Rows(part)) =
            ToSupervisor::decode(&RowsPart::encode(&[], Some((7, 0))))
        else {
            panic!("an empty list is not decoded")
        };
        assert_eq!((part.last, part.rows().count()), (Some((7, 0)), 0));
        let message = WorkerMsg::Counts(Box::default()).encode();
        assert!(matches!(
            ToSupervisor::decode(&message),
            Some(ToSupervisor::Control(WorkerMsg::Counts(_)))
        ));
        let message = SupervisorMsg::Drain.encode();
        assert!(matches!(
            ToWorker::decode(&message),
            Some(ToWorker::Control(SupervisorMsg::Drain))
        ));
    }

    #[test]
    fn invalid_bytes_are_not_decoded() {
        let nonsense: [&[u8]; 8] = [
            b"",
            b"{",
            &[9],
            &[CONNECTION],
            &[CONNECTION, 0, 0, 0, 0, 0, 1],
            &[ACK, 0],
            &[ROWS],
            &[ROWS, 1, 0],
        ];
        for bytes in nonsense {
            assert!(ToWorker::decode(bytes).is_none(), "{bytes:?}");
            assert!(ToSupervisor::decode(bytes).is_none(), "{bytes:?}");
        }
    }
}
