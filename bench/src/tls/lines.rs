//! The loads of lines: `pingpong` and `flood`.

use std::{convert::Infallible, io, rc::Rc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    task::spawn_local,
};

use super::client::{Connection, Connector, Tally};
use crate::{Error, clock};

/// A line, as long as those of the generator in C.
pub(super) const LINE: &[u8; 5] = b"ping\n";

/// Bytes of a write in a flood: whole lines, as many as fit in one TLS record.
const FLOOD_BYTES: usize = 16 * 1024 / LINE.len() * LINE.len();

/// Connects, exchanges a line, and returns the connections.
pub(super) async fn open(connector: &Connector, count: u32) -> io::Result<Vec<Connection>> {
    /// Handshakes at a time.
    const AT_ONCE: usize = 64;
    let mut open = Vec::with_capacity(count as usize);
    while open.len() < count as usize {
        let more = AT_ONCE.min(count as usize - open.len());
        let made: Vec<_> = (0..more)
            .map(|_| {
                let connector = connector.clone();
                spawn_local(async move {
                    let mut connection = connector.connect().await?;
                    exchange(&mut connection).await?;
                    io::Result::Ok(connection)
                })
            })
            .collect();
        for connection in made {
            open.push(connection.await??);
        }
    }
    Ok(open)
}

/// Sends a line and reads it back.
pub(super) async fn exchange(connection: &mut Connection) -> io::Result<()> {
    connection.write_all(LINE).await?;
    let mut reply = [0; LINE.len()];
    connection.read_exact(&mut reply).await?;
    if reply == *LINE {
        return Ok(());
    }
    let reply = reply.escape_ascii();
    Err(io::Error::other(format!("a line was answered by {reply}")))
}

/// Starts a load over connections that are open.
pub(super) fn start(
    mode: &str,
    connections: Vec<Connection>,
    tally: &Rc<Tally>,
) -> Result<(), Error> {
    for connection in connections {
        let tally = tally.clone();
        match mode {
            "pingpong" => spawn_local(async move {
                let Err(error) = ping_pong(connection, &tally).await;
                tally.fail(&error);
            }),
            "flood" => spawn_local(async move {
                let Err(error) = flood(connection, &tally).await;
                tally.fail(&error);
            }),
            _ => return Err(format!("no load of lines: {mode}").into()),
        };
    }
    Ok(())
}

async fn ping_pong(mut connection: Connection, tally: &Tally) -> io::Result<Infallible> {
    loop {
        let sent = clock::now();
        exchange(&mut connection).await?;
        tally.add_after(clock::now().saturating_sub(sent));
    }
}

/// Sends as much as the sockets take, and counts the lines that come back.
async fn flood(connection: Connection, tally: &Tally) -> io::Result<Infallible> {
    let (input, output) = tokio::io::split(connection);
    let (never, _) = tokio::try_join!(send(output), receive(input, tally))?;
    Ok(never)
}

async fn send(mut output: WriteHalf<Connection>) -> io::Result<Infallible> {
    let block = LINE.repeat(FLOOD_BYTES / LINE.len());
    loop {
        output.write_all(&block).await?;
    }
}

async fn receive(mut input: ReadHalf<Connection>, tally: &Tally) -> io::Result<Infallible> {
    let mut block = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut block).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tally.add(memchr::memchr_iter(b'\n', &block[..read]).count() as u64);
    }
}
