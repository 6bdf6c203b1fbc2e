//! Connections over real sockets, to a server with its own threads.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};
use towline_middleware::stats::CloseReason;

use super::pipe::{Pipe, ServerEnd};
use crate::{Outcome, RunError, Running, Server, shard::PoolState};

/// Time between two reads of the counts.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// Bytes that are passed on at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// A running server.
pub(super) struct Tcp {
    running: Mutex<Option<Running>>,
    address: SocketAddr,
    closes: Arc<Closes>,
    pumps: Mutex<JoinSet<()>>,
}

/// The closes that a server has counted, each of which belongs to one client.
pub(super) struct Closes {
    pool: Arc<PoolState>,
    /// Closes that a client was given the reason of.
    told: Mutex<[u64; CloseReason::ALL.len()]>,
}

impl Tcp {
    /// Starts the server.
    pub(super) fn new(server: Server) -> Result<(Self, &'static [u8]), RunError> {
        let end_of_line = server.end_of_line();
        let running = server.on_free_port().start()?;
        let address = running.address().ok_or_else(|| {
            RunError::usage("a stage over TCP needs a TCP listener, not a UNIX socket".to_owned())
        })?;
        let closes = Closes { pool: running.shards.state().clone(), told: Mutex::default() };
        let (running, pumps) = (Mutex::new(Some(running)), Mutex::default());
        Ok((Self { running, address, closes: Arc::new(closes), pumps }, end_of_line))
    }

    /// Connects from `from` and passes on what both sides say.
    pub(super) async fn connect(&self, pipe: &Pipe, from: SocketAddr) -> Arc<Closes> {
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(from)?;
            socket.connect(self.address).await
        };
        let socket = connecting.await.and_then(|socket| {
            socket.set_nodelay(true)?;
            Ok(socket)
        });
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => panic!("no connection from {from} to {}: {error}", self.address),
        };
        let end = pipe.server_end();
        let mut pumps = self.pumps.lock().unwrap_or_else(PoisonError::into_inner);
        while pumps.try_join_next().is_some() {}
        pumps.spawn(pump(end, socket));
        self.closes.clone()
    }

    pub(super) async fn drain(&self) -> Outcome {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        running.expect("a stage over TCP is drained once").shutdown().await
    }

    /// What the shards share.
    pub(super) fn pool(&self) -> &Arc<PoolState> {
        &self.closes.pool
    }
}

impl Closes {
    /// Waits for a close that no client was told of, and returns its reason.
    pub(super) async fn next(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.try_next() {
                return reason;
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    fn try_next(&self) -> Option<CloseReason> {
        let mut told = self.told();
        let counted = |reason: CloseReason| {
            let closed = |stats: &Arc<_>| closed(stats, reason);
            self.pool.stats.iter().map(closed).sum::<u64>()
        };
        let new = |reason: &CloseReason| counted(*reason) > told[*reason as usize];
        let reason = CloseReason::ALL.into_iter().find(new)?;
        told[reason as usize] += 1;
        Some(reason)
    }

    fn told(&self) -> MutexGuard<'_, [u64; CloseReason::ALL.len()]> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(stats: &towline_middleware::stats::Stats, reason: CloseReason) -> u64 {
    stats.states.snapshot().closed[reason as usize]
}

/// Passes on what the client sends and what the server says, until both have closed or one has reset.
async fn pump(end: ServerEnd, mut socket: TcpStream) {
    let (mut sent, mut said) = tokio::io::split(end);
    let (mut from_server, mut to_server) = socket.split();
    let up = async {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            match sent.read(&mut block).await? {
                0 => return to_server.shutdown().await,
                bytes => to_server.write_all(&block[..bytes]).await?,
            }
        }
    };
    let down = async {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            match from_server.read(&mut block).await? {
                0 => return said.shutdown().await,
                bytes => said.write_all(&block[..bytes]).await?,
            }
        }
    };
    let ended: io::Result<_> = async { tokio::try_join!(up, down) }.await;
    if ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
        // The client did it, or the server, and then it makes no difference.
        let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}
