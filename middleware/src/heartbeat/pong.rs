use bytes::BytesMut;

use super::PingWords;
use crate::{Batch, protocol::Protocol};

/// Removes the first frame that only answers a ping, and returns whether there was one.
pub(super) fn without_pong<P: Protocol>(batch: Batch<P>, words: &PingWords) -> (Batch<P>, bool) {
    let Some(at) = words.find_pong(&batch) else { return (batch, false) };
    let mut after = batch;
    let before = after.split_to(at);
    let _pong = after.split_to(1);
    let rest = match (before.is_empty(), after.is_empty()) {
        (true, _) => after,
        (_, true) => before,
        // Rare: other frames on both sides of it in one read.
        (false, false) => {
            let mut bytes = BytesMut::from(before.as_bytes());
            bytes.extend_from_slice(after.as_bytes());
            Batch::counted(bytes, (before.count() + after.count()) as u32)
        }
    };
    (rest, true)
}
