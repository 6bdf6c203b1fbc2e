//! The Rust servers that towline is compared with: bare tokio.
//!
//! Each is one current-thread runtime with one 64 KiB buffer for all connections and one write per
//! read. They have no limits, timers or counters, so the difference to towline is the cost of its
//! stack.

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

/// Which line ends a reference searches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LineSearch {
    /// None: it writes back what it read
    Never,
    /// The last one of a read; the rest is kept
    ForTheLast,
    /// Every one, as a server that serves lines one by one must; the rest is kept
    ForEach,
}

const BUFFER: usize = 64 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// The arguments of a reference.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ReferenceArgs {
    line_search: LineSearch,
    /// Threads, each with its own share of the port
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
    /// Bytes of an unfinished line above which the connection is closed
    #[arg(long, default_value_t = usize::MAX)]
    line_bytes: usize,
}

/// Serves until killed.
pub(crate) fn serve(args: ReferenceArgs) -> io::Result<()> {
    prepare_process()?;
    let first = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let addr = first.local_addr()?;
    for _ in 1..args.threads {
        let socket = listen(addr)?;
        thread::spawn(move || run(socket, args));
    }
    println!("listening on {addr}");
    run(first, args)
}

/// Ends this process with the benchmark, and raises its descriptor limit.
pub(crate) fn prepare_process() -> io::Result<()> {
    // Killing the benchmark must not leave servers behind.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    raise_descriptor_limit()
}

/// Raises the soft descriptor limit of this process to the hard one.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let files = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?)
}

/// Serves the connections of one thread.
fn run(socket: Socket, args: ReferenceArgs) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(stream, args));
        }
    })
}

/// Listens with the longest backlog; `TcpListener::bind` would take 128.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(65_535)?;
    Ok(socket.into())
}

async fn echo(mut stream: TcpStream, args: ReferenceArgs) -> io::Result<()> {
    let mut rest = Unfinished::default();
    loop {
        match poll_fn(|cx| rest.poll_exchange(&mut stream, args.line_search, cx)).await? {
            Step::Closed => return Ok(()),
            Step::Echoed if rest.partial.len() > args.line_bytes => return Ok(()),
            Step::Echoed => {}
            Step::Unsent(unsent) => stream.write_all(&unsent).await?,
        }
    }
}

/// What one exchange came to.
pub(crate) enum Step {
    /// The peer has ended the connection.
    Closed,
    /// Whole lines were written back, if there were any.
    Echoed,
    /// The bytes that the socket did not take, copied out of the shared buffer.
    Unsent(Vec<u8>),
}

/// The beginning of an unfinished line, kept between reads.
#[derive(Default)]
pub(crate) struct Unfinished {
    partial: Vec<u8>,
}

impl Unfinished {
    /// One read into the shared buffer and one write out of it.
    pub(crate) fn poll_exchange(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        line_search: LineSearch,
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
            let (reply, rest) = filled.split_at(end_of_lines(line_search, filled, kept));
            // An empty `Vec` allocates nothing: a connection between lines holds no memory.
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

/// Length of the whole lines in `filled`. The first `kept` bytes were searched before.
fn end_of_lines(line_search: LineSearch, filled: &[u8], kept: usize) -> usize {
    match line_search {
        LineSearch::Never => filled.len(),
        LineSearch::ForTheLast => {
            memchr::memrchr(b'\n', &filled[kept..]).map_or(0, |last| kept + last + 1)
        }
        LineSearch::ForEach => {
            let mut end = 0;
            for newline in memchr::memchr_iter(b'\n', &filled[kept..]) {
                let next = kept + newline + 1;
                // Keeps the compiler from searching only the last line end.
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
    fn both_searches_agree_on_where_whole_lines_end() {
        for (text, kept, end) in [
            ("ab\ncd\nef", 0, 6),
            ("ab\ncd\n", 2, 6),
            ("abcd", 2, 0),
            ("abc\n", 3, 4),
            ("\n", 0, 1),
        ] {
            for search in [LineSearch::ForEach, LineSearch::ForTheLast] {
                assert_eq!(end_of_lines(search, text.as_bytes(), kept), end, "{search:?} {text:?}");
            }
            assert_eq!(end_of_lines(LineSearch::Never, text.as_bytes(), kept), text.len());
        }
    }
}
