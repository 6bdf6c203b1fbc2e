//! Attackers: processes of the load generator, or threads of this process.
//!
//! The threads use raw sockets on purpose: they send what neither a line client nor an HTTP client does.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use super::{attack::AttackKind, priority};
use crate::{Error, child::ChildGuard};

/// A running attack, ended when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Attacker {
    process: Option<ChildGuard>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Attacker {
    pub(crate) fn start(
        kind: AttackKind,
        towline: &Path,
        addr: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Self, Error> {
        let mut attacker = Self::default();
        match kind {
            AttackKind::Load(arguments) => attacker.process = Some(load(towline, addr, arguments)?),
            AttackKind::EndlessLines(count) => attacker.spawn(count, move || endless_line(addr)),
            AttackKind::SillyWindows(count) => attacker.spawn(count, move || silly_window(addr)),
            AttackKind::StopReading(count) => attacker.spawn(count, move || stop_reading(addr)),
            AttackKind::Scrapes(count) => {
                attacker.spawn(count, move || scrape(admin));
                attacker.spawn(count, move || half_request(admin));
            }
        }
        Ok(attacker)
    }

    /// Spawns `count` threads that call `act` again and again.
    fn spawn(&mut self, count: usize, act: impl Fn() -> io::Result<()> + Clone + Send + 'static) {
        self.threads.extend((0..count).map(|_| repeat(self.stop.clone(), act.clone())));
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn load(towline: &Path, addr: SocketAddr, arguments: &[&str]) -> Result<ChildGuard, Error> {
    let child = priority::idle_command(towline)
        .args(["load", &addr.to_string(), "-T", "1h", "--quiet", "--processes", "1"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(ChildGuard(child))
}

fn repeat(
    stop: Arc<AtomicBool>,
    act: impl Fn() -> io::Result<()> + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        priority::make_thread_idle();
        while !stop.load(Relaxed) {
            // Replies are of no interest, and the server should close these connections.
            let _ = act();
        }
    })
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}

fn endless_line(addr: SocketAddr) -> io::Result<()> {
    let mut stream = connect(addr)?;
    let block = [b'x'; 64 * 1024];
    for _ in 0..16 * 1024 {
        stream.write_all(&block)?;
    }
    Ok(())
}

fn stop_reading(addr: SocketAddr) -> io::Result<()> {
    let mut stream = connect(addr)?;
    let block = b"0123456789abcde\n".repeat(4 * 1024);
    let mut reply = vec![0; block.len()];
    for _ in 0..64 {
        stream.write_all(&block)?;
        stream.read_exact(&mut reply)?;
    }
    // Until the server closes the connection.
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    loop {
        stream.write_all(&block)?;
    }
}

fn silly_window(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // The kernel raises both to its minimum.
    socket.set_recv_buffer_size(1)?;
    socket.set_tcp_mss(88)?;
    socket.connect_timeout(&addr.into(), Duration::from_secs(1))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut stream = TcpStream::from(socket);
    let lines = b"0123456789\n".repeat(10_000);
    let mut sending = stream.try_clone()?;
    let sender = thread::spawn(move || sending.write_all(&lines));
    let mut some = [0; 64];
    while stream.read(&mut some)? > 0 && !sender.is_finished() {}
    sender.join().unwrap_or(Ok(()))
}

fn scrape(admin: SocketAddr) -> io::Result<()> {
    let mut stream = connect(admin)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn half_request(admin: SocketAddr) -> io::Result<()> {
    let mut stream = connect(admin)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: ")?;
    stream.read(&mut [0; 64]).map(drop)
}
