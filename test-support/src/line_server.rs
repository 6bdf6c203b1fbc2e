use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// The replies of a connection: called with every whole line, returns the bytes to send.
pub type Answer = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;

/// A server whose replies the test decides, with a thread per connection. It stops accepting when it is
/// dropped.
#[derive(Debug)]
pub struct LineServer {
    /// Where it listens.
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl LineServer {
    /// Serves with one `Answer` per connection.
    pub fn start(answers: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        Self::with(move |stream| serve(stream, answers()))
    }

    /// Serves every connection by `serve`, on a thread of its own.
    pub fn with(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (over, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let ending = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Self { address, over }
    }

    /// Sends back what comes.
    pub fn echo() -> Self {
        Self::start(|| Box::new(<[u8]>::to_vec))
    }
}

impl Drop for LineServer {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        // Wakes the thread in accept.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, mut answer: Answer) {
    const REPLY_BYTES_MAX: usize = 64 * 1024;
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::with_capacity(REPLY_BYTES_MAX, stream.try_clone().unwrap());
    let (mut writer, mut line) = (stream, Vec::new());
    let mut replies = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        replies.extend(answer(&line));
        line.clear();
        // The lines of one read are answered by one write.
        if reader.buffer().is_empty() || replies.len() > REPLY_BYTES_MAX {
            if writer.write_all(&replies).is_err() {
                return;
            }
            replies.clear();
        }
    }
    let _ = writer.write_all(&replies);
}
