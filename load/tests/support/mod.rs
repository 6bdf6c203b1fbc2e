//! A line server whose replies the test decides, on a port chosen by the kernel.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use towline_load::{Mode, Plan, Report, RunOptions};

/// The replies of a connection: called with every whole line, returns the bytes to send.
pub(crate) type Answer = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;

/// A server with a thread per connection. It stops accepting when it is dropped.
#[derive(Debug)]
pub(crate) struct LineServer {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl LineServer {
    /// Serves with one `Answer` per connection.
    pub(crate) fn start(answers: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let answers = Arc::new(answers);
        Self::with(move |stream| lines(stream, answers()))
    }

    /// Serves every connection by `serve`, on a thread of its own.
    pub(crate) fn with(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (over, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let ending = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Self { address, over }
    }

    pub(crate) fn echo() -> Self {
        Self::start(|| Box::new(<[u8]>::to_vec))
    }

    /// A plan for this server: few connections, a short time, everything verified.
    pub(crate) fn plan(&self, mode: Mode) -> Plan {
        let mut plan = Plan::new(self.address.into());
        plan.mode = mode;
        plan.connections = 4;
        plan.duration = Duration::from_millis(300);
        plan.message = "{conn}:{seq}\\n".to_owned();
        plan.verify = true;
        plan
    }
}

impl Drop for LineServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread in accept.
        let _ = TcpStream::connect(self.address);
    }
}

fn lines(stream: TcpStream, mut answer: Answer) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::with_capacity(64 * 1024, stream.try_clone().unwrap());
    let (mut writer, mut line) = (stream, Vec::new());
    let mut replies = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        replies.extend(answer(&line));
        line.clear();
        // The lines of one read are answered by one write.
        if reader.buffer().is_empty() || replies.len() > 64 * 1024 {
            if writer.write_all(&replies).is_err() {
                return;
            }
            replies.clear();
        }
    }
    let _ = writer.write_all(&replies);
}

pub(crate) fn run(plan: &Plan) -> Report {
    towline_load::run(plan, &RunOptions::default()).unwrap()
}
