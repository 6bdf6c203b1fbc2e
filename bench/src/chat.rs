//! The chat server that everybody writes first: `tokio::broadcast` and `Framed`.
//!
//! It knows the lines of `peers/fanout.c`. Each member copies each message into its own write buffer, and
//! flushes when no further message waits.

use std::io;

use futures_util::{SinkExt, StreamExt as _};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast::{self, Receiver, Sender, error::RecvError, error::TryRecvError},
};
use tokio_util::codec::{Framed, LinesCodec};

/// Messages that a member may be behind. One that is further behind loses some.
const CAPACITY: usize = 16 * 1024;
const LINE_BYTES_MAX: usize = 70 * 1024;

/// A message, and the member that must not hear it.
type Said = (u64, std::sync::Arc<str>);

/// Serves until killed.
pub(crate) fn serve() -> io::Result<()> {
    crate::reference::prepare_process()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener =
            TcpListener::from_std(crate::reference::listen(([127, 0, 0, 1], 0).into())?)?;
        println!("listening on {}", listener.local_addr()?);
        let (room, _) = broadcast::channel(CAPACITY);
        for member in 0.. {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve_member(stream, member, room.clone()));
        }
        Ok(())
    })
}

async fn serve_member(stream: TcpStream, own: u64, room: Sender<Said>) -> Option<()> {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    let mut heard: Option<Receiver<Said>> = None;
    loop {
        let said = async {
            match &mut heard {
                Some(heard) => heard.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = lines.next() => {
                let line = line?.ok()?;
                if line.starts_with("NICK ") && heard.is_none() {
                    heard = Some(room.subscribe());
                } else if line.starts_with("SAY ") {
                    // Fails only when the room is empty.
                    let _ = room.send((own, line.into()));
                }
                lines.send("OK").await.ok()?;
            }
            said = said => {
                feed(&mut lines, own, said).await?;
                while let Some(heard) = &mut heard {
                    match heard.try_recv() {
                        Ok(said) => feed(&mut lines, own, Ok(said)).await?,
                        Err(TryRecvError::Lagged(_)) => {}
                        Err(_) => break,
                    }
                }
                SinkExt::<String>::flush(&mut lines).await.ok()?;
            }
        }
    }
}

/// Puts a message in the write buffer, unless it is the member's own.
async fn feed(
    lines: &mut Framed<TcpStream, LinesCodec>,
    own: u64,
    said: Result<Said, RecvError>,
) -> Option<()> {
    match said {
        Ok((from, line)) if from != own => lines.feed(&*line).await.ok(),
        Ok(_) | Err(RecvError::Lagged(_)) => Some(()),
        Err(RecvError::Closed) => None,
    }
}
