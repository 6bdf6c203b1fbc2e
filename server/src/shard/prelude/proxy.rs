//! The PROXY header, before everything else.

use std::{io, net::SocketAddr, time::Duration};

use tokio::time::timeout;
use towline_config::ProxyMode;
use towline_middleware::stats::CloseReason;

use super::{Refusal, Step, Taking};
use crate::{
    accept::ProxySenders,
    proxy_protocol::{HEADER_BYTES_MAX, Parsed, Proxied, ProxyError, parse},
    shard::{AnySocket, Established, Peer},
};

/// Reads the header of a load balancer, which says whose connection it passes on.
#[derive(Debug)]
pub(super) struct ProxyHeader {
    pub(super) mode: ProxyMode,
    pub(super) senders: ProxySenders,
    pub(super) deadline: Duration,
}

/// How a connection begins.
enum Beginning {
    Header(Box<Proxied>, usize),
    Absent,
    /// It ended after this many bytes of a header.
    Ended(usize),
    Wrong(ProxyError),
}

impl Step for ProxyHeader {
    fn take(&self, socket: AnySocket, peer: Peer) -> Taking<'_> {
        Box::pin(self.read(socket, peer))
    }

    fn missing(&self) -> &'static str {
        "no PROXY header"
    }
}

impl ProxyHeader {
    async fn read(&self, socket: AnySocket, peer: Peer) -> Result<(Established, Peer), Refusal> {
        let trusted = self.senders.is_trusted(peer.address());
        if self.mode == ProxyMode::Require && !trusted {
            return Err(refused(socket, untrusted(peer.address())));
        }
        let mut bytes = vec![0; HEADER_BYTES_MAX];
        let mut seen = 0;
        let begins = socket.peek_until(&mut bytes, |bytes, ended| {
            seen = bytes.len();
            match parse(bytes) {
                Ok(Parsed::Incomplete) if ended => Some(Beginning::Ended(bytes.len())),
                Ok(Parsed::Incomplete) => None,
                Ok(Parsed::Absent) => Some(Beginning::Absent),
                Ok(Parsed::Header(header, length)) => Some(Beginning::Header(header, length)),
                Err(wrong) => Some(Beginning::Wrong(wrong)),
            }
        });
        let beginning = match timeout(self.deadline, begins).await {
            Ok(Ok(beginning)) => beginning,
            Ok(Err(error)) => return Err(failed(&error)),
            // A client that waits for the server to speak first.
            Err(_elapsed) if self.mode == ProxyMode::Optional && seen == 0 => Beginning::Absent,
            Err(_elapsed) => {
                let detail = format!("no whole PROXY header within {:?}", self.deadline);
                return Err(refused(socket, detail));
            }
        };
        match beginning {
            Beginning::Ended(0) => Err(Refusal::silently(CloseReason::PeerEof, "no PROXY header")),
            Beginning::Absent if self.mode == ProxyMode::Optional => {
                Ok((Established::Plain(socket), peer))
            }
            _ if !trusted => Err(refused(socket, untrusted(peer.address()))),
            Beginning::Absent => Err(refused(socket, "no PROXY header".to_owned())),
            Beginning::Ended(_) => Err(refused(socket, "the PROXY header has no end".to_owned())),
            Beginning::Wrong(error) => Err(refused(socket, format!("the PROXY header {error}"))),
            Beginning::Header(header, length) => {
                socket.discard(length).map_err(|error| failed(&error))?;
                Ok((Established::Plain(socket), peer.behind(*header)))
            }
        }
    }
}

fn untrusted(sender: Option<SocketAddr>) -> String {
    let sender = sender.map_or_else(|| "unix".to_owned(), |sender| sender.ip().to_string());
    format!("{sender} is not among the trusted senders of PROXY headers")
}

/// Refuses a connection without a word: what it sent is no line, and what the server says might be taken for the
/// answer to one.
fn refused(socket: AnySocket, detail: String) -> Refusal {
    Refusal { reason: CloseReason::ProxyError, detail, socket: Some(socket) }
}

fn failed(error: &io::Error) -> Refusal {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::PeerReset,
        _ => CloseReason::IoError,
    };
    Refusal::silently(reason, error.to_string())
}
