//! One input, sent to a server in one of many ways, and what came of it.

use std::{fmt, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::bytes::Bytes;
use towline_middleware::stats::CloseReason;

use super::{Client, Stage, expect::PATIENCE, record::Shown};
use crate::Server;

/// Silence of the server behind which the client closes its sending side.
const QUIET: Duration = Duration::from_secs(10);

/// Time in which a server speaks without a pause, before the client closes its sending side nevertheless.
const TALK_MAX: Duration = Duration::from_secs(60);

/// Longest replies to one input.
const SAID_BYTES_MAX: usize = 64 << 20;

/// What a server made of an input: everything that it said, and why it closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conversation {
    /// What the server said.
    pub said: Vec<u8>,
    /// Why the connection ended.
    pub reason: CloseReason,
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\"", self.reason.label(), Shown(&self.said))
    }
}

/// How an input is sent, and its replies are taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Way<'a> {
    /// Where the input is cut into pieces, in order.
    pub(super) cuts: &'a [usize],
    /// Bytes of the replies that are taken at a time, and none before everything is sent.
    pub(super) take_max: Option<usize>,
}

impl Way<'_> {
    /// The pieces of `input`.
    pub(super) fn pieces<'i>(&self, input: &'i [u8]) -> impl Iterator<Item = &'i [u8]> {
        let ends = self.cuts.iter().copied().chain([input.len()]);
        let mut from = 0;
        ends.map(move |to| {
            let piece = &input[from.min(to)..to];
            from = to;
            piece
        })
    }
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cuts {
            [] => f.write_str("whole")?,
            cuts => write!(f, "cut at {cuts:?}")?,
        }
        match self.take_max {
            Some(bytes) => write!(f, ", replies taken late and by {bytes} bytes"),
            None => Ok(()),
        }
    }
}

/// Stages `server` without its heartbeat, whose pings come at random times.
pub(super) fn stage(server: Server) -> Stage {
    Stage::new(server.without_heartbeat())
}

/// Sends `input`, waits until the server is quiet, closes the sending side, and waits for the end.
///
/// # Panics
/// If there is no end, and if the program panicked.
pub(super) async fn hold(stage: &Stage, input: &[u8], way: Way<'_>) -> Conversation {
    let mut client = stage.connect().await;
    if way.take_max.is_some() {
        client.stall();
    }
    for piece in way.pieces(input) {
        client.pipe.state().send(Bytes::copy_from_slice(piece));
    }
    if way.take_max.is_some() {
        // On a paused clock it passes when everything has run.
        sleep(Duration::from_millis(1)).await;
    }
    client.pipe.state().take(way.take_max);
    end(client).await
}

/// Hears `client` to the end of its connection.
pub(super) async fn end(mut client: Client) -> Conversation {
    let mut said = Vec::new();
    // In both an end is found by the kit's own bounds.
    let _ = timeout(TALK_MAX, hear(&client, &mut said)).await;
    client.half_close();
    let closing = timeout(PATIENCE + TALK_MAX, async {
        while !client.pipe.state().closed {
            hear(&client, &mut said).await;
        }
        take(&client, &mut said);
        client.is_closed().await
    });
    let Ok(reason) = closing.await else {
        panic!("the connection does not end after its client closed it:\n{client:?}");
    };
    assert!(reason != CloseReason::ServicePanic, "the program panicked:\n{client:?}");
    Conversation { said, reason }
}

/// Takes what the server says until it closes or is quiet.
async fn hear(client: &Client, said: &mut Vec<u8>) {
    loop {
        let unread = client.pipe.state().unread();
        let changed = timeout(QUIET, client.changed(unread)).await.is_ok();
        take(client, said);
        if !changed || client.pipe.state().closed {
            return;
        }
    }
}

fn take(client: &Client, said: &mut Vec<u8>) {
    let mut state = client.pipe.state();
    let unread = state.unread();
    said.extend_from_slice(&state.consume(unread));
    drop(state);
    assert!(said.len() <= SAID_BYTES_MAX, "there is no end of the replies:\n{client:?}");
}
