//! An admin port in the clients' own process, used while they leave the server alone.
//!
//! A busy core slows the other one by a few percent, which is more than the bound. So the clients are as
//! busy in the turns without them. The decoy has the limits of a real admin port: connections, time for
//! a request, and length of its head.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Result},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task, time,
};

const CONNECTIONS_MAX: usize = 128;
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const HEAD_BYTES_MAX: usize = 8 << 10;

/// About the length of an exposition.
const ANSWER_BYTES: usize = 16 << 10;

/// Serves in the background; returns the address.
pub(super) async fn listen() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    task::spawn_local(async move {
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else { return };
            task::spawn_local(async move {
                let _ = time::timeout(HEAD_TIMEOUT, answer(stream)).await;
                drop(permit);
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
