//! Sessions whose connections go over to encryption in the middle. TLS itself is the server's: here it is one byte of a
//! key, with which every byte is combined.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    any::Any,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower_service::Service;
use towline_middleware::{
    BatchCodec, BoxError, ConcurrencyLimitLayer, Echo, FramedTransport, Semaphore, TimeoutLayer,
    protocol::Lf,
    push::Fact,
    serve::Serve,
    session::{
        Action, ActionOf, Cx, FrameOf, Session, SessionResponder, SessionStack, StartTls, Upgrade,
    },
    stats::{CloseReason, Stats},
};

const SECOND: Duration = Duration::from_secs(1);

/// A stream in the clear until it has a key.
struct Stream {
    inner: DuplexStream,
    key: u8,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        buf.filled_mut()[before..].iter_mut().for_each(|byte| *byte ^= self.key);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = bytes.iter().map(|byte| byte ^ self.key).collect();
        Pin::new(&mut self.inner).poll_write(cx, &bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The handshake: the peer sends the key. One of zero is none.
#[derive(Debug)]
struct Key;

impl StartTls for Key {
    fn poll_start(
        &self,
        stream: &mut dyn Any,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Fact>>> {
        let stream = stream.downcast_mut::<Stream>().unwrap();
        let mut key = [0];
        let mut buf = ReadBuf::new(&mut key);
        ready!(Pin::new(&mut stream.inner).poll_read(cx, &mut buf))?;
        stream.key = key[0];
        Poll::Ready(if key[0] == 0 {
            Err(io::ErrorKind::InvalidData.into())
        } else {
            Ok(Some(Box::new(key[0])))
        })
    }

    fn timeout(&self) -> Duration {
        10 * SECOND
    }
}

/// Remembers the last frame.
#[derive(Default)]
struct Last(String);

impl Session for Last {
    type Protocol = Lf;

    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        if frame == b"starttls" {
            return cx.secure("go ahead");
        }
        let last = std::mem::replace(&mut self.0, String::from_utf8_lossy(frame).into_owned());
        cx.reply(format_args!("{} after '{last}'", self.0))
    }
}

impl Upgrade for Last {
    fn on_secured(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        self.0 = cx.conn().fact::<u8>().map_or_else(String::new, |key| format!("key {key}"));
        Action::Continue
    }
}

type Served = JoinHandle<Result<CloseReason, BoxError>>;

fn serve(tls: Option<Key>) -> (DuplexStream, Served) {
    let (client, inner) = duplex(1 << 16);
    let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(1)));
    let stats = Arc::new(Stats::new(tokio::time::Instant::now()));
    let mut stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(None), &limit);
    if let Some(tls) = tls {
        stack = stack.start_tls(Arc::new(tls));
    }
    let responder = SessionResponder::new(Last::default(), stack.conn(None), stack.clone());
    let transport = FramedTransport::new(Stream { inner, key: 0 }, BatchCodec::<Lf>::new(1024));
    let mut serve = Serve::unboxed(Echo).stats(stats).one(responder);
    (client, tokio::spawn(async move { serve.call(transport).await }))
}

async fn said(client: &mut DuplexStream) -> Vec<u8> {
    let mut said = [0; 256];
    let n = client.read(&mut said).await.unwrap();
    said[..n].to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_session_forgets_what_was_said_in_the_clear() {
    let (mut client, served) = serve(Some(Key));
    client.write_all(b"one\nstarttls\n").await.unwrap();
    assert_eq!(said(&mut client).await, b"one after ''\ngo ahead\n");
    let secret = |text: &[u8]| text.iter().map(|byte| byte ^ 7).collect::<Vec<u8>>();
    sleep(9 * SECOND).await;
    client.write_all(&[&[7], &secret(b"two\n")[..]].concat()).await.unwrap();
    assert_eq!(said(&mut client).await, secret(b"two after 'key 7'\n"));
    client.shutdown().await.unwrap();
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::PeerEof);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_sent_behind_the_command_in_the_clear_is_served() {
    // Lines, the beginning of one, and what looks like a handshake, in the same read or one that comes before the
    // reply is written.
    for ahead in ["evil\n", "evil\nevil\n", "evi", "\u{7}evil\n"] {
        let (mut client, served) = serve(Some(Key));
        client.write_all(format!("starttls\n{ahead}").as_bytes()).await.unwrap();
        let mut all = String::new();
        client.shutdown().await.unwrap();
        client.read_to_string(&mut all).await.unwrap();
        assert!(
            all.ends_with("ERR malformed: commands behind the one that starts TLS\n"),
            "{all:?}"
        );
        assert!(!all.contains("evi"), "{all:?}");
        assert_eq!(served.await.unwrap().unwrap(), CloseReason::TlsError);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_fails_or_takes_too_long_ends_the_connection() {
    let (mut client, served) = serve(Some(Key));
    client.write_all(b"starttls\n").await.unwrap();
    assert_eq!(said(&mut client).await, b"go ahead\n");
    client.write_all(&[0]).await.unwrap();
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::TlsError);
    let (mut client, served) = serve(Some(Key));
    client.write_all(b"starttls\n").await.unwrap();
    assert_eq!(said(&mut client).await, b"go ahead\n");
    let mut served = served;
    assert!(timeout(9 * SECOND, &mut served).await.is_err(), "it ended early");
    let ended = timeout(2 * SECOND, served).await.unwrap();
    assert_eq!(ended.unwrap().unwrap(), CloseReason::HandshakeTimeout);
}

#[tokio::test(start_paused = true)]
async fn without_tls_in_the_server_the_conversation_goes_on() {
    let (mut client, served) = serve(None);
    client.write_all(b"starttls\none\n").await.unwrap();
    assert_eq!(said(&mut client).await, b"ERR TLS is not configured\none after ''\n");
    drop(client);
    served.await.unwrap().unwrap();
}
