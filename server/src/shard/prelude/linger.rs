//! The close of a connection that was refused before its first frame.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::shard::AnySocket;

/// Most input that is discarded: what a client can have sent before it sees the close.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// Half-closes the socket, and discards what the peer sends until it closes too, for at most `linger`. Otherwise the
/// kernel would answer its input with a reset, which overtakes the alert that says what is wrong.
pub(super) async fn close_in_order(socket: &mut AnySocket, linger: Duration) {
    let discard = async {
        if socket.shutdown().await.is_err() {
            return;
        }
        let (mut left, mut block) = (DISCARDED_BYTES_MAX, [0; 1024]);
        while let Ok(read) = socket.read(&mut block).await
            && read > 0
            && read < left
        {
            left -= read;
        }
    };
    // Out of time, the peer is reset.
    let _ = timeout(linger, discard).await;
}
