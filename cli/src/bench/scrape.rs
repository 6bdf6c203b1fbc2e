//! What a server says about itself on `/metrics`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For connecting, and for every read of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The whole answer of a server; `None` when it does not answer.
pub(super) fn metrics(admin: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

/// Its samples: a metric's name, its labels as written, and the value.
pub(super) fn samples(answer: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    answer.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
        Some((metric, labels, value.parse().ok()?))
    })
}
