//! What the clients are at while the server has calm.
//!
//! A core that is busy slows its neighbour, if only by a few hundredths: more than what is asked about.
//! So the clients are as busy in calm, with an admin port that is not the server's. It behaves like
//! one: so many places, so much time, so long a head.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Result},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task, time,
};

const PLACES: usize = 128;
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const HEAD_BYTES_MAX: usize = 8 << 10;

/// About what an exposition has.
const ANSWER_BYTES: usize = 16 << 10;

/// Serves in the background; returns where.
pub(super) async fn listen() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let places = Arc::new(Semaphore::new(PLACES));
    task::spawn_local(async move {
        while let Ok(place) = places.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else { return };
            task::spawn_local(async move {
                let _ = time::timeout(HEAD_TIMEOUT, answer(stream)).await;
                drop(place);
            });
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
    stream.write_all(&[b'a'; ANSWER_BYTES]).await
}
