//! The server attacked, and what can be seen of it from outside.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Error, child::Owned, kernel::resident_bytes};

#[derive(Debug)]
pub(crate) struct Victim {
    process: Owned,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// What is seen of it at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
    /// Memory of all TCP sockets of the host.
    pub(crate) socket_bytes: u64,
    pub(crate) closed: BTreeMap<String, u64>,
    pub(crate) open: u64,
    pub(crate) accepted: u64,
}

impl Victim {
    /// Two threads, as on the two cores that the figures are demanded for.
    pub(crate) fn start(towline: &Path, flags: &[&str]) -> Result<Self, Error> {
        let mut child = Command::new(towline)
            .args(["serve", "--threads", "2", "--listen", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--log-level", "error"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let process = Owned(child);
        let mut line = String::new();
        BufReader::new(stdout.ok_or("no pipe")?).read_line(&mut line)?;
        let (addr, admin) =
            addresses(&line).ok_or_else(|| format!("the server said {line:?} at its start"))?;
        Ok(Self { process, addr, admin })
    }

    pub(crate) fn look(&self) -> Result<Sight, Error> {
        let mut sight = Sight {
            resident_bytes: resident_bytes(self.process.0.id())?,
            descriptors: fs::read_dir(format!("/proc/{}/fd", self.process.0.id()))?.count(),
            socket_bytes: socket_bytes(&fs::read_to_string("/proc/net/sockstat")?),
            ..Sight::default()
        };
        for line in self.metrics()?.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            if let Some(reason) = label(name, "towline_connections_closed_total", "reason") {
                sight.closed.insert(reason.to_owned(), value);
            } else if label(name, "towline_connections", "state").is_some() {
                sight.open += value;
            } else if name == "towline_connections_accepted_total" {
                sight.accepted = value;
            }
        }
        Ok(sight)
    }

    fn metrics(&self) -> Result<String, Error> {
        // It may be the admin endpoint that is attacked: patience is allowed, failure is not.
        let mut last = None;
        for _ in 0..20 {
            match self.scrape() {
                Ok(text) if text.contains(" 200 ") => return Ok(text),
                Ok(text) => last = Some(text.lines().next().unwrap_or("nothing").to_owned()),
                Err(error) => last = Some(error.to_string()),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("/metrics does not answer: {}", last.unwrap_or_default()).into())
    }

    fn scrape(&self) -> Result<String, Error> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Both addresses of `listening on ADDR (admin ADDR)`.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (addr, admin) = line.trim_end().strip_prefix("listening on ")?.split_once(" (admin ")?;
    Some((addr.parse().ok()?, admin.strip_suffix(')')?.parse().ok()?))
}

/// The value of the one label of a series of that family.
fn label<'a>(series: &'a str, family: &str, label: &str) -> Option<&'a str> {
    series
        .strip_prefix(family)?
        .strip_prefix('{')?
        .strip_prefix(label)?
        .strip_prefix("=\"")?
        .strip_suffix("\"}")
}

/// `mem` of the TCP line, in pages.
fn socket_bytes(sockstat: &str) -> u64 {
    let tcp = sockstat.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let mut words = tcp.split_whitespace().skip_while(|word| *word != "mem");
    words.nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_and_the_kernel_say_is_read() {
        let (addr, admin) =
            addresses("listening on 127.0.0.1:9000 (admin 127.0.0.1:9464)\n").expect("both");
        assert_eq!((addr.port(), admin.port()), (9000, 9464));
        assert_eq!(addresses("listening on 127.0.0.1:9000 (admin off)\n"), None);
        let series = "towline_connections_closed_total{reason=\"drain\"}";
        assert_eq!(label(series, "towline_connections_closed_total", "reason"), Some("drain"));
        assert_eq!(label(series, "towline_connections", "state"), None);
        assert_eq!(
            socket_bytes("sockets: used 9\nTCP: inuse 3 orphan 0 tw 1 alloc 4 mem 2\n"),
            8192
        );
    }
}
