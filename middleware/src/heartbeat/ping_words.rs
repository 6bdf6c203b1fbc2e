use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    Batch,
    protocol::{Notice, Protocol},
};

/// The words of pings and pongs, in place of those of the protocol.
///
/// ```
/// use towline_middleware::heartbeat::PingWords;
///
/// // The words of IRC.
/// let words = PingWords::new()
///     .ping(&b"PING :towline\r\n"[..])
///     .pong(|frame| frame.starts_with(b"PONG"));
/// ```
#[derive(Clone, Default)]
pub struct PingWords {
    ping: Option<Bytes>,
    pong: Option<Arc<IsPong>>,
}

type IsPong = dyn Fn(&[u8]) -> bool + Send + Sync;

impl PingWords {
    /// The words of the protocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `frame` as a ping: a whole frame, terminator included. Default:
    /// [`Notice::Ping`], as the protocol says it.
    #[must_use]
    pub fn ping(mut self, frame: impl Into<Bytes>) -> Self {
        self.ping = Some(frame.into());
        self
    }

    /// Recognizes pongs by `is_pong`, which gets the bytes of a frame without its line end and is called only while
    /// a ping is unanswered. A pong answers the ping and is not served; any other frame answers it too, and is
    /// served. Default: [`Protocol::is_pong`].
    #[must_use]
    pub fn pong(mut self, is_pong: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.pong = Some(Arc::new(is_pong));
        self
    }

    /// The frame of a ping; `None` if it is the protocol's.
    pub fn get_ping(&self) -> Option<&[u8]> {
        self.ping.as_deref()
    }

    /// A ping.
    pub(super) fn batch<P: Protocol>(&self) -> Batch<P> {
        match &self.ping {
            Some(frame) => Batch::reply(frame.clone(), 1),
            None => Batch::notice(&Notice::Ping, 1),
        }
    }

    /// Where the first frame of `batch` is that does nothing but answer a ping.
    pub(super) fn find_pong<P: Protocol>(&self, batch: &Batch<P>) -> Option<usize> {
        let Some(is_pong) = &self.pong else { return batch.frames().position(P::is_pong) };
        let mut rest = batch.as_bytes();
        (0..batch.count()).find(|_| {
            let frame_and_rest = rest;
            P::next(&mut rest);
            let frame = &frame_and_rest[..frame_and_rest.len() - rest.len()];
            let frame = frame.strip_suffix(b"\n").unwrap_or(frame);
            is_pong(frame.strip_suffix(b"\r").unwrap_or(frame))
        })
    }
}

impl fmt::Debug for PingWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PingWords").field("ping", &self.ping).finish_non_exhaustive()
    }
}
