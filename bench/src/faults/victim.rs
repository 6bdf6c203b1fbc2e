//! The server attacked, and what can be seen of it from outside.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Error,
    child::Owned,
    clock,
    kernel::{resident_bytes, spent},
};

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
    /// Kernel memory of its sockets of lines, as ss(8) tells it; 0 where there is no ss.
    pub(crate) socket_bytes: u64,
    pub(crate) closed: BTreeMap<String, u64>,
    pub(crate) refused: BTreeMap<String, u64>,
    /// Every gauge of the server's own.
    pub(crate) gauges: BTreeMap<String, f64>,
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

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub(crate) fn look(&self) -> Result<Sight, Error> {
        let mut sight = Sight {
            resident_bytes: resident_bytes(self.process.0.id())?,
            descriptors: fs::read_dir(format!("/proc/{}/fd", self.process.0.id()))?.count(),
            socket_bytes: self.socket_bytes(),
            ..Sight::default()
        };
        let mut is_gauge = false;
        for line in self.metrics()?.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE towline_") {
                is_gauge = kind.ends_with(" gauge");
                continue;
            }
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            if let (true, Ok(value)) = (is_gauge && name.starts_with("towline_"), value.parse()) {
                sight.gauges.insert(name.to_owned(), value);
            }
            let Ok(value) = value.parse() else { continue };
            if let Some(reason) = label(name, "towline_connections_closed_total", "reason") {
                sight.closed.insert(reason.to_owned(), value);
            } else if let Some(why) = label(name, "towline_connections_rejected_total", "reason") {
                sight.refused.insert(why.to_owned(), value);
            } else if label(name, "towline_connections", "state").is_some() {
                sight.open += value;
            } else if name == "towline_connections_accepted_total" {
                sight.accepted = value;
            }
        }
        Ok(sight)
    }

    /// What is seen once nobody is connected, or when `patience` is at its end.
    pub(crate) fn look_at_rest(&self, patience: Duration) -> Result<Sight, Error> {
        let began = clock::now();
        loop {
            let sight = self.look()?;
            if sight.open == 0 {
                // Once more: they went after the descriptors were counted, and so do those who look.
                thread::sleep(Duration::from_millis(200));
                return self.look();
            }
            if clock::now().saturating_sub(began) > patience {
                return Ok(sight);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn cpu(&self) -> Duration {
        spent(self.process.0.id())
    }

    /// Its ends of connections that wait for the last stray segments; those who close first have them.
    pub(crate) fn time_waits(&self) -> usize {
        // With its address: a client's own port may be the same number.
        let ours = self.addr.to_string();
        let output = Command::new("ss").args(["-tnH", "state", "time-wait", "src", &ours]).output();
        output.map_or(0, |output| output.stdout.iter().filter(|byte| **byte == b'\n').count())
    }

    fn socket_bytes(&self) -> u64 {
        let of_ours = format!("sport = :{}", self.addr.port());
        let output = Command::new("ss").args(["-tmnH", &of_ours]).output();
        output.map_or(0, |output| socket_bytes(&String::from_utf8_lossy(&output.stdout)))
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
            thread::sleep(Duration::from_millis(100));
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

/// What each socket has allocated for receiving, sending and forward, in `skmem:(r0,rb…,t0,tb…,f…`.
fn socket_bytes(ss: &str) -> u64 {
    let memory = ss.split("skmem:(").skip(1).filter_map(|rest| rest.split_once(')'));
    let numbers = memory.flat_map(|(fields, _)| fields.split(',')).filter_map(|field| {
        let digits = field.find(|c: char| c.is_ascii_digit())?;
        let (name, value) = field.split_at(digits);
        matches!(name, "r" | "t" | "f" | "w").then(|| value.parse::<u64>().ok())?
    });
    numbers.sum()
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
        let ss = "0 0 a b\n\t skmem:(r10,rb131072,t2,tb16384,f3,w4,o0,bl0,d0)\n skmem:(r1,rb9)";
        assert_eq!(socket_bytes(ss), 20);
    }
}
