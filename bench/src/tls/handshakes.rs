//! The loads of handshakes: clients that connect, exchange a line, and close.

use std::{io, rc::Rc};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::spawn_local,
};

use super::{
    client::{Connector, Tally},
    lines::exchange,
};

/// Starts `at_once` clients. Each connection is counted once its line came back; one whose handshake was of another
/// kind than `expected` is an error, except the first of each client, which has no ticket.
pub(super) fn start(
    at_once: u32,
    connector: &Connector,
    expected: HandshakeKind,
    tally: &Rc<Tally>,
) {
    for _ in 0..at_once {
        let own = match expected {
            HandshakeKind::Resumed => connector.with_own_tickets(),
            _ => connector.clone(),
        };
        let tally = tally.clone();
        spawn_local(async move {
            let mut is_first = true;
            loop {
                match once(&own).await {
                    Ok(kind) if kind == Some(expected) || is_first => tally.add(1),
                    Ok(kind) => tally.fail(&format!("a handshake was {kind:?}")),
                    Err(error) => tally.fail(&error),
                }
                is_first = false;
            }
        });
    }
}

/// Makes a connection and closes it; returns what its handshake was.
async fn once(connector: &Connector) -> io::Result<Option<HandshakeKind>> {
    let mut connection = connector.connect().await?;
    // The ticket for the next one arrives before the line.
    exchange(&mut connection).await?;
    let kind = connection.get_ref().1.handshake_kind();
    connection.shutdown().await?;
    match connection.read(&mut [0; 64]).await? {
        0 => Ok(kind),
        _ => Err(io::Error::other("the server sent more than the line")),
    }
}
