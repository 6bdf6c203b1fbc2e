//! Requests to an admin port or socket, bounded in time and in bytes: the HTTP client of `health`, `bench`,
//! `ctl` and `top`.
//!
//! Not a client library, because `health` promises more than HTTP: an answer after two seconds at the
//! latest, from the status line alone, and one sentence for whatever else came back.

#![expect(
    clippy::disallowed_types,
    reason = "there is no runtime here whose clock could be paused"
)]

use std::{
    fmt::{self, Write as _},
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use towline_load::TargetAddr;

/// Most bytes read in search of the status line.
const STATUS_BYTES_MAX: usize = 512;
/// Longest answer that is read. A hundred worker processes export about a megabyte.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Bytes a read may return.
const CHUNK: usize = 16 << 10;

/// Where a server answers. `Display` is what a person calls it.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    Port(SocketAddr),
    Socket(PathBuf),
}

impl Endpoint {
    /// The admin port of a server on this host that listens on `address`: on loopback, where it listens on every
    /// address.
    pub(crate) fn of_listener(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self::Port(SocketAddr::new(ip, address.port()))
    }
}

impl From<&TargetAddr> for Endpoint {
    fn from(address: &TargetAddr) -> Self {
        match address {
            TargetAddr::Tcp { address, .. } => Self::Port(*address),
            TargetAddr::Unix(path) => Self::Socket(path.clone()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// A connection of either kind.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(endpoint: &Endpoint, timeout: Duration) -> io::Result<Self> {
        let stream = match endpoint {
            Endpoint::Port(address) => Self::Tcp(TcpStream::connect_timeout(address, timeout)?),
            // Waits only while the server's queue is full.
            Endpoint::Socket(path) => Self::Unix(UnixStream::connect(path)?),
        };
        match &stream {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout))?,
            Self::Unix(stream) => stream.set_write_timeout(Some(timeout))?,
        }
        Ok(stream)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, bytes: &mut [u8], timeout: Duration) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(bytes)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(bytes)
            }
        }
    }
}

/// A request, of any method.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    /// The token of `admin.token_file`.
    pub(crate) token: Option<&'a str>,
    pub(crate) body: &'a str,
}

/// An answer, of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl<'a> Request<'a> {
    /// Asks for what is at a path.
    pub(crate) const fn get(path: &'a str) -> Self {
        Self { method: "GET", path, token: None, body: "" }
    }

    /// Connects and sends the request. `timeout` bounds the connect, and again the whole answer.
    pub(crate) fn send(&self, endpoint: &Endpoint, timeout: Duration) -> io::Result<SentRequest> {
        let Self { method, path, token, body } = self;
        let host = match endpoint {
            Endpoint::Port(address) => address.to_string(),
            Endpoint::Socket(_) => "towline".to_owned(),
        };
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        // Writing into a String cannot fail.
        if let Some(token) = token {
            let _ = write!(request, "authorization: Bearer {token}\r\n");
        }
        let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
        let named = |error| name_timeout(error, timeout);
        let mut stream = Stream::connect(endpoint, timeout).map_err(named)?;
        let deadline = Instant::now() + timeout;
        stream.write_all(request.as_bytes()).map_err(named)?;
        Ok(SentRequest { stream, timeout, deadline })
    }
}

/// A request that was sent and is being answered.
#[derive(Debug)]
pub(crate) struct SentRequest {
    stream: Stream,
    timeout: Duration,
    deadline: Instant,
}

impl SentRequest {
    /// The status, as soon as the status line has come far enough to hold it.
    pub(crate) fn status(mut self) -> io::Result<u16> {
        let mut answer = Vec::with_capacity(STATUS_BYTES_MAX);
        loop {
            let ended = self.read(&mut answer)? == 0;
            if let Some(status) = status_of(&answer) {
                return Ok(status);
            }
            if ended || answer.len() >= STATUS_BYTES_MAX {
                return Err(not_http());
            }
        }
    }

    /// The body of an answer with status 200; anything else is an error.
    pub(crate) fn body(self) -> io::Result<String> {
        match self.answer()? {
            Answer { status: 200, body } => Ok(body),
            Answer { status, .. } => Err(io::Error::other(format!("the status is {status}"))),
        }
    }

    /// The whole answer.
    pub(crate) fn answer(mut self) -> io::Result<Answer> {
        let mut answer = Vec::new();
        while self.read(&mut answer)? > 0 {
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "the answer is longer than {ANSWER_BYTES_MAX} bytes"
                )));
            }
        }
        let status = status_of(&answer).ok_or_else(not_http)?;
        let answer = String::from_utf8(answer).map_err(io::Error::other)?;
        let (_head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
        Ok(Answer { status, body: body.to_owned() })
    }

    /// Appends what one read returns. The read waits only for what is left of the time, so an answer
    /// that comes byte by byte does not extend it.
    fn read(&mut self, answer: &mut Vec<u8>) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(name_timeout(io::ErrorKind::TimedOut.into(), self.timeout));
        }
        let mut chunk = [0; CHUNK];
        let read = self.stream.read(&mut chunk, left);
        let read = read.map_err(|error| name_timeout(error, self.timeout))?;
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Names a timeout: the system calls it "resource temporarily unavailable".
fn name_timeout(error: io::Error, timeout: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::other(format!("nothing came back within {} s", timeout.as_secs()))
        }
        _ => error,
    }
}

fn not_http() -> io::Error {
    io::Error::other("what came back is not HTTP")
}

/// The status in `answer`, once its first line has come far enough to hold one.
fn status_of(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// The body of what a server answers with `answer`, sent until the client leaves if `endless`.
    fn body_of(answer: &'static [u8], endless: bool) -> io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = thread::spawn(move || {
            let (mut stream, _client) = listener.accept()?;
            let _request = stream.read(&mut [0; 256])?;
            stream.write_all(answer)?;
            while endless && stream.write_all(&[b'a'; CHUNK]).is_ok() {}
            io::Result::Ok(())
        });
        let endpoint = Endpoint::Port(address);
        let sent = Request::get("/").send(&endpoint, Duration::from_secs(20));
        let body = sent.and_then(SentRequest::body);
        server.join().expect("the server does not panic")?;
        body
    }

    #[test]
    fn the_body_is_what_follows_the_head() {
        let body = body_of(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nbody\n", false);
        assert_eq!(body.expect("a body"), "body\n");
    }

    #[test]
    fn another_status_and_other_protocols_have_no_body() {
        for (answer, expected) in [
            (&b"HTTP/1.1 503 Service Unavailable\r\n\r\nno"[..], "the status is 503"),
            (b"ERR what?\n", "what came back is not HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "what came back is not HTTP"),
        ] {
            assert_eq!(body_of(answer, false).expect_err("no body").to_string(), expected);
        }
    }

    #[test]
    fn an_endless_answer_is_given_up() {
        let error = body_of(b"HTTP/1.1 200 OK\r\n\r\n", true).expect_err("no end");
        assert!(error.to_string().starts_with("the answer is longer than"), "{error}");
    }
}
