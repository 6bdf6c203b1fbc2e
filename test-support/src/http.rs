//! Requests to an admin port.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::{Metrics, PATIENCE};

/// An answer of the admin port.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// What follows them.
    pub body: String,
}

impl Response {
    /// `None` if the answer is cut short. That to a HEAD request has no body, whatever its length says.
    fn parse(answer: &str, has_body: bool) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
        let length = lengths.next().filter(|_| has_body);
        let whole = length.is_none_or(|length| length == body.len().to_string());
        whole.then(|| Self { status, body: body.to_owned(), head })
    }
}

/// Sends the bytes of a request and reads until the server closes.
///
/// # Errors
///
/// If the connection fails, or closes before the answer is whole.
pub fn try_request(admin: SocketAddr, bytes: &str) -> io::Result<Response> {
    let stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(stream, bytes)
}

/// As [`try_request`], over the UNIX socket at `path`.
///
/// # Errors
///
/// If the connection fails, or closes before the answer is whole.
pub fn try_request_over(path: &Path, bytes: &str) -> io::Result<Response> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(stream, bytes)
}

fn exchange(mut stream: impl io::Read + io::Write, bytes: &str) -> io::Result<Response> {
    stream.write_all(bytes.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Response::parse(&answer, !bytes.starts_with("HEAD "))
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, answer))
}

/// Like [`scrape`].
///
/// # Errors
///
/// As [`try_request`] has.
pub fn try_scrape(admin: SocketAddr) -> io::Result<Metrics> {
    try_request(admin, &get_request("/metrics")).map(|response| Metrics::parse(&response.body))
}

/// Like [`try_request`], and fails the test instead of returning an error.
#[track_caller]
pub fn request(admin: SocketAddr, bytes: &str) -> Response {
    try_request(admin, bytes).unwrap()
}

/// The bytes of a request for `path`.
pub fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: towline\r\n\r\n")
}

/// The bytes of a command with further header lines, each ending in `\r\n`.
pub fn command_request(name: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /ctl/{name} HTTP/1.1\r\nhost: towline\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// Sends a command to the admin socket at `path`.
#[track_caller]
pub fn command(path: &Path, name: &str, body: &str) -> Response {
    try_request_over(path, &command_request(name, "", body)).unwrap()
}

/// Asks for `path`.
#[track_caller]
pub fn get(admin: SocketAddr, path: &str) -> Response {
    request(admin, &get_request(path))
}

/// Asks for `/metrics` and parses them.
#[track_caller]
pub fn scrape(admin: SocketAddr) -> Metrics {
    let response = get(admin, "/metrics");
    assert_eq!(response.status, 200, "{response:?}");
    Metrics::parse(&response.body)
}
