//! The messages on their way to a worker process, as its supervisor can take them back.

use std::{io, os::fd::OwnedFd};

use towline::internal::{Accepted, NewConnection};

use crate::{
    channel::receive_from,
    dispatch::WorkerDispatch,
    message::{ConnectionMsg, SupervisorMsg, ToWorker},
};

/// A duplicate of the worker's end of the channel. It keeps messages that the process has not received
/// when it stands still or has died: each message is received once, here or there.
///
/// While it is open, the channel does not show that the process has ended.
#[derive(Debug)]
pub(crate) struct Inbound(OwnedFd);

impl Inbound {
    /// Duplicates the worker's end before the worker gets it.
    pub(crate) fn of(theirs: &OwnedFd) -> io::Result<Self> {
        theirs.try_clone().map(Self)
    }

    /// Takes all messages, and gives the connections among them back to `dispatch`. Returns the other
    /// messages, to be sent again in this order, without requests for counts, which are repeated anyway.
    pub(crate) fn return_connections(
        &self,
        index: usize,
        dispatch: &WorkerDispatch,
        buffer: &mut [u8],
    ) -> Vec<SupervisorMsg> {
        let (mut returned, mut other) = (0_u64, Vec::new());
        while let Some((message, socket)) = self.take(buffer) {
            match message {
                ToWorker::Connection(ConnectionMsg { tag, peer, listener }) => {
                    let slot = dispatch.pool.take_back(index, tag);
                    match (slot, socket) {
                        (Some(slot), Some(socket)) => {
                            let accepted = Accepted { socket, peer, listener };
                            dispatch.give_back(NewConnection { accepted, slot });
                            returned += 1;
                        }
                        // There was no descriptor left for it.
                        (Some(_), None) => dispatch.pool.count_undelivered(index),
                        (None, _) => {}
                    }
                }
                ToWorker::Control(SupervisorMsg::SendCounts) => {}
                ToWorker::Control(message) => other.push(message),
            }
        }
        if returned > 0 {
            tracing::info!(
                process = index,
                connections = returned,
                "connections taken back from a worker process that did not receive them"
            );
        }
        other
    }

    /// Takes the next message, and the connection that came with it; `None` when there is none.
    fn take(&self, buffer: &mut [u8]) -> Option<(ToWorker, Option<OwnedFd>)> {
        let received = receive_from(&self.0, buffer).ok()??;
        Some((ToWorker::decode(&buffer[..received.length])?, received.socket))
    }
}
