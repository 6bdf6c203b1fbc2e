use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use super::{Metrics, PATIENCE};

/// An answer of the admin endpoint.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request's bytes and reads until the server closes.
#[track_caller]
pub(crate) fn request(admin: SocketAddr, bytes: &str) -> Response {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[track_caller]
pub(crate) fn get(admin: SocketAddr, path: &str) -> Response {
    request(admin, &format!("GET {path} HTTP/1.1\r\nhost: towline\r\n\r\n"))
}

#[track_caller]
pub(crate) fn scrape(admin: SocketAddr) -> Metrics {
    let response = get(admin, "/metrics");
    assert_eq!(response.status, 200, "{response:?}");
    Metrics::parse(&response.body)
}
