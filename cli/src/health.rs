//! `towline health`: asks the admin port, as a container's health check does.

#![expect(
    clippy::disallowed_types,
    reason = "there is no runtime here whose clock could be paused"
)]

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{exit, flags::AdminFlags};

/// For connecting, and again for the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The status line is all that counts; no more than this of the answer is read.
const ENOUGH: usize = 512;

/// Ask a running server whether it is healthy: exit code 0 when it is, else 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask whether it accepts connections (/readyz), not only whether it is alive (/healthz)
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    admin: AdminFlags,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let effective = match args.admin.load() {
        Ok(effective) => effective,
        Err(errors) => return exit::with_configuration(&errors),
    };
    let Some(admin) = effective.settings.server.admin else {
        return exit::with(exit::FAILED, "server.admin is off, so there is nobody to ask");
    };
    let path = if args.ready { "/readyz" } else { "/healthz" };
    match status(reachable(admin), path) {
        Ok(200) => exit::printing(&format!("{admin} answered {path} with 200\n")),
        Ok(status) => {
            exit::with(exit::FAILED, format_args!("{admin} answered {path} with {status}"))
        }
        Err(error) => {
            exit::with(exit::FAILED, format_args!("{admin} did not answer {path}: {error}"))
        }
    }
}

/// An address to listen on everywhere is asked on this host.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The status of a GET. As little HTTP as one fixed question to our own server needs.
fn status(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(in_words)?;
    let deadline = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(in_words)?;

    let mut answer = Vec::with_capacity(ENOUGH);
    loop {
        if let Some(status) = status_line(&answer) {
            return Ok(status);
        }
        // A trickle of bytes must not stretch the wait, so each read gets what is left of it.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(in_words(io::ErrorKind::TimedOut.into()));
        }
        stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; ENOUGH];
        let read = stream.read(&mut chunk).map_err(in_words)?;
        if read == 0 || answer.len() >= ENOUGH {
            return Err(io::Error::other("what came back is not HTTP"));
        }
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

/// A timeout by its name: the system calls it "resource temporarily unavailable".
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::other(format!("nothing came back within {} s", PATIENCE.as_secs()))
        }
        _ => error,
    }
}

/// The status in `answer`, once its first line has come far enough to hold one.
fn status_line(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}
