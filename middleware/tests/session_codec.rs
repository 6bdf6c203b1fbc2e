//! A codec of tokio-util as the state of a session, as the guide shows it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::sleep,
};
use tokio_util::codec::{Decoder, Encoder, LinesCodec};
use towline_middleware::{
    BatchCodec,
    drain::Watch,
    protocol::Raw,
    session::{Action, ActionOf, Cx, Deferred, Session, serve_session},
    stats::CloseReason,
};

const KIB: usize = 1024;

/// Answers each item with a long line.
struct Items {
    codec: LinesCodec,
    read: BytesMut,
    served: Arc<AtomicUsize>,
}

impl Session for Items {
    type Protocol = Raw;

    fn on_frame(&mut self, read: &[u8], cx: &mut Cx<'_, Raw>) -> ActionOf<Self> {
        self.read.extend_from_slice(read);
        self.serve(cx)
    }
}

impl Items {
    fn serve(&mut self, cx: &mut Cx<'_, Raw>) -> ActionOf<Self> {
        match self.codec.decode(&mut self.read) {
            Ok(Some(item)) => cx.reply(Deferred::then(ready(item), Self::answer)),
            Ok(None) => Action::Continue,
            Err(_) => Action::Close,
        }
    }

    fn answer(&mut self, item: String, cx: &mut Cx<'_, Raw>) -> ActionOf<Self> {
        self.served.fetch_add(1, SeqCst);
        let mut out = BytesMut::new();
        let reply = item + &"x".repeat(60 * KIB - 2);
        self.codec.encode(reply, &mut out).unwrap();
        cx.raw(&out);
        self.serve(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_one_read_are_served_as_the_peer_takes_their_replies() {
    let served = Arc::<AtomicUsize>::default();
    let (mut client, server) = duplex(64 * KIB);
    let session = Items {
        codec: LinesCodec::new_with_max_length(KIB),
        read: BytesMut::new(),
        served: served.clone(),
    };
    let ended = tokio::spawn(serve_session(server, BatchCodec::new(KIB), session, Watch::never()));
    client.write_all("x\n".repeat(10_000).as_bytes()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let first = served.load(SeqCst);
    assert!((5..=9).contains(&first), "{first} replies of 60 KiB against 256 KiB of output");

    let mut taken = vec![0; 60 * KIB * 100];
    client.read_exact(&mut taken).await.unwrap();
    assert!(taken.split_inclusive(|&byte| byte == b'\n').all(|line| line.len() == 60 * KIB));
    sleep(Duration::from_secs(1)).await;
    let more = served.load(SeqCst) - first;
    assert!((98..=102).contains(&more), "{more} replies for 100 that were taken");
    drop(client);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerReset);
}
