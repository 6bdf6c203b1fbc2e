//! What an admin port answers, and the exposition of a server, parsed.
//!
//! [`fetch`] is the one HTTP client of this crate. Clients that attack an admin port write to their
//! sockets themselves, because they send what no HTTP client would.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest wait for the connection, and for each part of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The answer to a request for `path`, with its head. A status other than 200 is an error.
///
/// Nothing is parsed or copied, so that a timed scrape is the server's time and the kernel's.
pub(crate) fn fetch(admin: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(answer);
    }
    let first = answer.lines().next().unwrap_or("nothing");
    Err(io::Error::other(format!("{path} answered {first:?}")))
}

/// A series, and its value at the moment of the scrape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample<'a> {
    /// The name with its labels, as exported.
    pub(crate) series: &'a str,
    pub(crate) value: f64,
    /// `counter`, `gauge` or `histogram`, from the family's `# TYPE` line.
    pub(crate) kind: &'a str,
}

impl<'a> Sample<'a> {
    /// The value of the only label, if the series is of `family` and has `label`.
    pub(crate) fn label(&self, family: &str, label: &str) -> Option<&'a str> {
        let labels = self.series.strip_prefix(family)?.strip_prefix('{')?;
        labels.strip_prefix(label)?.strip_prefix("=\"")?.strip_suffix("\"}")
    }

    /// Whether the series is of `family`, with labels or without.
    pub(crate) fn is_of(&self, family: &str) -> bool {
        let labels = self.series.strip_prefix(family);
        labels.is_some_and(|labels| labels.is_empty() || labels.starts_with('{'))
    }
}

/// All series of an answer, in order.
pub(crate) fn samples(answer: &str) -> impl Iterator<Item = Sample<'_>> {
    let mut kind = "";
    answer.lines().filter_map(move |line| {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            kind = family.rsplit(' ').next().unwrap_or("");
        }
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        // The lines of the head come before the first `# TYPE`.
        (!kind.is_empty()).then_some(())?;
        Some(Sample { series, value: value.parse().ok()?, kind })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\
        # HELP a_total Of a.\n# TYPE a_total counter\na_total{reason=\"drain\"} 3\n\
        # TYPE b gauge\nb 4.5\n";

    #[test]
    fn series_have_the_kind_of_their_family() {
        let all: Vec<_> = samples(ANSWER).collect();
        let of_b = Sample { series: "b", value: 4.5, kind: "gauge" };
        assert_eq!((all.len(), all[0].kind, all[1]), (2, "counter", of_b));
        assert_eq!(all[0].label("a_total", "reason"), Some("drain"));
        assert_eq!(all[0].label("a", "reason"), None);
        assert!(all[0].is_of("a_total") && all[1].is_of("b") && !all[0].is_of("a"));
    }
}
