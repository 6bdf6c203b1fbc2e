//! The Rust servers towline is compared with: tokio, and nothing on top.
//!
//! Each is one current-thread runtime with one 64 KiB buffer for all connections and one write per
//! read. They keep no limits, no timers and no counters, so what towline spends beside them is what
//! its stack costs.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as Socket},
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// How much a reference looks at what it echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Looks {
    /// Writes back what it read.
    Never,
    /// Finds the last line end of a read, keeps the rest.
    ForTheLast,
    /// Finds every line end, as a server that serves lines one by one must; keeps the rest.
    ForEach,
}

const BUFFER: usize = 64 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// How a reference serves.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Peer {
    looks: Looks,
    /// Threads, each with its own share of the port
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
    /// Bytes of an unfinished line at which it hangs up
    #[arg(long, default_value_t = usize::MAX)]
    line_bytes: usize,
}

/// Serves until killed.
pub(crate) fn serve(peer: Peer) -> io::Result<()> {
    // A killed harness must not leave servers behind.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?;
    let first = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let addr = first.local_addr()?;
    for _ in 1..peer.threads {
        let socket = listen(addr)?;
        thread::spawn(move || run(socket, peer));
    }
    println!("listening on {addr}");
    run(first, peer)
}

/// One thread's share.
fn run(socket: Socket, peer: Peer) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(stream, peer));
        }
    })
}

/// `TcpListener::bind` would listen with a backlog of 128.
fn listen(addr: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(65_535)?;
    Ok(socket.into())
}

async fn echo(mut stream: TcpStream, peer: Peer) -> io::Result<()> {
    let mut kept = Kept::default();
    loop {
        match poll_fn(|cx| kept.poll_exchange(&mut stream, peer.looks, cx)).await? {
            Step::Closed => return Ok(()),
            Step::Echoed if kept.partial.len() > peer.line_bytes => return Ok(()),
            Step::Echoed => {}
            Step::Unsent(rest) => stream.write_all(&rest).await?,
        }
    }
}

enum Step {
    Closed,
    Echoed,
    /// What the socket did not take, copied out of the shared buffer.
    Unsent(Vec<u8>),
}

/// What a connection keeps between reads: the beginning of an unfinished line.
#[derive(Default)]
struct Kept {
    partial: Vec<u8>,
}

impl Kept {
    /// One read into the shared buffer and one write out of it.
    fn poll_exchange(
        &mut self,
        stream: &mut TcpStream,
        looks: Looks,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Step>> {
        SHARED.with_borrow_mut(|shared| {
            let kept = self.partial.len();
            if shared.len() < kept + BUFFER {
                shared.resize(kept + BUFFER, 0);
            }
            let mut room = ReadBuf::new(&mut shared[kept..kept + BUFFER]);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
            let read = room.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(Step::Closed));
            }
            shared[..kept].copy_from_slice(&self.partial);
            let filled = &shared[..kept + read];
            let (reply, rest) = filled.split_at(end_of_lines(looks, filled, kept));
            // An empty `Vec` owns nothing: a connection between lines holds no memory.
            self.partial = if rest.is_empty() { Vec::new() } else { rest.to_vec() };
            if reply.is_empty() {
                return Poll::Ready(Ok(Step::Echoed));
            }
            let sent = match Pin::new(stream).poll_write(cx, reply) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            Poll::Ready(Ok(match &reply[sent..] {
                [] => Step::Echoed,
                rest => Step::Unsent(rest.to_vec()),
            }))
        })
    }
}

/// How many of the filled bytes are whole lines. The first `kept` were searched before.
fn end_of_lines(looks: Looks, filled: &[u8], kept: usize) -> usize {
    match looks {
        Looks::Never => filled.len(),
        Looks::ForTheLast => {
            memchr::memrchr(b'\n', &filled[kept..]).map_or(0, |last| kept + last + 1)
        }
        Looks::ForEach => {
            let mut end = 0;
            for newline in memchr::memchr_iter(b'\n', &filled[kept..]) {
                let next = kept + newline + 1;
                // Each line is handed to somebody who might look at it: it costs its discovery.
                std::hint::black_box(&filled[end..next]);
                end = next;
            }
            end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_looking_agree_on_where_whole_lines_end() {
        for (text, kept, end) in [
            ("ab\ncd\nef", 0, 6),
            ("ab\ncd\n", 2, 6),
            ("abcd", 2, 0),
            ("abc\n", 3, 4),
            ("\n", 0, 1),
        ] {
            for looks in [Looks::ForEach, Looks::ForTheLast] {
                assert_eq!(end_of_lines(looks, text.as_bytes(), kept), end, "{looks:?} {text:?}");
            }
            assert_eq!(end_of_lines(Looks::Never, text.as_bytes(), kept), text.len());
        }
    }
}
