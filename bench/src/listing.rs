//! `GET /connections` in a loop while many connections are open: how long a listing takes, whether it finds
//! the clients that do not read, and what it costs others.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use serde::Deserialize;

use crate::{
    Error,
    child::ChildGuard,
    clock,
    faults::{Finding, FindingsTable, well_behaved::ClientReport},
    metrics,
    observed_server::ObservedServer,
};

/// Clients that never read, and the only address that they come from.
const NEVER_READERS: usize = 50;
const NEVER_READERS_FROM: &str = "127.77.0.1";

/// Idle connections that one process holds: both a server's and a generator's have 20,000 descriptors by
/// default.
const EACH_PROCESS_HOLDS: u64 = 15_000;

/// Longest wait until all connections are open, or the never-readers are waited for.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Longest time of a listing.
const LISTING_MAX: Duration = Duration::from_secs(1);

/// The most that listings may add to the p99 of the well-behaved clients.
const P99_MORE_MS: f64 = 1.0;

/// Listings that are asked for by turns: by the server's rows, and by the kernel's table of all connections.
const PATHS: [&str; 2] = ["/connections?limit=50", "/connections?limit=50&sort=unsent"];

/// The fields of an answer that are used.
#[derive(Debug, Deserialize)]
struct Listing {
    open: u64,
    matched: usize,
    partial: bool,
    connections: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    peer: String,
}

/// Opens `count` idle connections and some that never read, and asks for listings without a pause while
/// well-behaved clients are measured: `turns` turns of `time` with listings, and as many without.
pub(crate) fn report(
    towline: &Path,
    count: u64,
    time: Duration,
    turns: u32,
) -> Result<FindingsTable, Error> {
    let processes = (count / EACH_PROCESS_HOLDS + 1).to_string();
    let flags = ["--processes", &processes, "--threads", "1", "--write-timeout", "off"];
    // By default the kernel ends a connection whose client reads nothing for 30 seconds.
    let environment = [("TOWLINE_SOCKET__USER_TIMEOUT", "off")];
    let server = ObservedServer::start_in(&environment, towline, &flags)?;
    let idle = count.to_string();
    let _idle = load(towline, &server, &["-c", &idle, "--mode", "idle", "--sources", "auto"])?;
    wait_until("all connections are open", || Ok(list(server.admin, PATHS[0])?.1.open >= count))?;
    let _never_readers = load(
        towline,
        &server,
        &[
            "-c",
            &NEVER_READERS.to_string(),
            "--mode",
            "flood",
            "--persona",
            "never-read",
            "--sources",
            NEVER_READERS_FROM,
        ],
    )?;
    wait_until("the never-readers are waited for", || {
        let waiting = list(server.admin, "/connections?state=write_wait")?.1;
        Ok(waiting.matched == NEVER_READERS)
    })?;

    let mut asked = Asked::default();
    let (mut without, mut under) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        without.push(ClientReport::measure(towline, server.addr, true, time, 1)?);
        let asking = Asking::start(server.admin);
        under.push(ClientReport::measure(towline, server.addr, true, time, 1)?);
        asked.add(asking.finish()?);
    }
    let what = format!("{count} idle connections, {NEVER_READERS} that never read");
    Ok(FindingsTable::of("listings", &what, &findings(asked, &without, &under)))
}

fn findings(asked: Asked, without: &[ClientReport], under: &[ClientReport]) -> Vec<Finding> {
    let Asked { mut by_path, wrong } = asked;
    let mut findings: Vec<_> = PATHS
        .iter()
        .zip(&mut by_path)
        .map(|(path, times)| {
            times.sort_unstable();
            let [median, longest] =
                [times.len() / 2, times.len().saturating_sub(1)].map(|at| times.get(at).copied());
            Finding {
                demanded: format!("`{path}` in < {} s", LISTING_MAX.as_secs()),
                measured: match (median, longest) {
                    (Some(median), Some(longest)) => format!(
                        "p50 {} ms, longest {} ms of {}",
                        median.as_millis(),
                        longest.as_millis(),
                        times.len()
                    ),
                    _ => "none was answered".into(),
                },
                met: longest.is_some_and(|longest| longest < LISTING_MAX),
            }
        })
        .collect();
    findings.push(Finding {
        demanded: format!("the first {NEVER_READERS} rows are the never-readers"),
        measured: format!("not in {wrong} listings"),
        met: wrong == 0,
    });
    let p99 = |reports: &[ClientReport]| {
        let mut all: Vec<_> = reports.iter().map(|report| report.p99_ms).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (calm, busy) = (p99(without), p99(under));
    let failures: u64 = under.iter().map(|report| report.failures).sum();
    findings.push(Finding {
        demanded: format!("p99 of the well-behaved ≤ {:.2} ms", calm + P99_MORE_MS),
        measured: format!("{busy:.2} ms (without listings {calm:.2})"),
        met: busy <= calm + P99_MORE_MS,
    });
    findings.push(Finding {
        demanded: "0 errors of the well-behaved".into(),
        measured: failures.to_string(),
        met: failures == 0,
    });
    findings
}

/// The time of listings, in the order of [`PATHS`], and the number of those whose first rows were others than
/// the never-readers.
#[derive(Debug, Default)]
struct Asked {
    by_path: [Vec<Duration>; PATHS.len()],
    wrong: usize,
}

impl Asked {
    fn add(&mut self, mut other: Self) {
        for (all, more) in self.by_path.iter_mut().zip(&mut other.by_path) {
            all.append(more);
        }
        self.wrong += other.wrong;
    }
}

/// A thread that asks for listings without a pause.
#[derive(Debug)]
struct Asking {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<Asked, String>>,
}

impl Asking {
    fn start(admin: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut asked = Asked::default();
            for at in (0..PATHS.len()).cycle() {
                if stopped.load(Relaxed) {
                    break;
                }
                let (time, listing) = list(admin, PATHS[at]).map_err(|error| error.to_string())?;
                asked.by_path[at].push(time);
                asked.wrong += usize::from(!listing.begins_with_never_readers());
            }
            Ok(asked)
        });
        Self { stop, thread }
    }

    fn finish(self) -> Result<Asked, Error> {
        self.stop.store(true, Relaxed);
        Ok(self.thread.join().map_err(|_panic| "the asking thread panicked")??)
    }
}

impl Listing {
    fn begins_with_never_readers(&self) -> bool {
        let first = self.connections.iter().take(NEVER_READERS);
        let found = first.filter(|row| row.peer.starts_with(NEVER_READERS_FROM)).count();
        found == NEVER_READERS && !self.partial
    }
}

/// Asks once; how long the answer took.
fn list(admin: SocketAddr, path: &str) -> Result<(Duration, Listing), Error> {
    let began = clock::now();
    let answer = metrics::fetch(admin, path)?;
    let time = clock::now().saturating_sub(began);
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
    Ok((time, serde_json::from_str(body)?))
}

fn load(towline: &Path, server: &ObservedServer, arguments: &[&str]) -> Result<ChildGuard, Error> {
    let child = Command::new(towline)
        .args(["load", &server.addr.to_string(), "-T", "1h", "--quiet"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(ChildGuard(child))
}

fn wait_until(what: &str, mut reached: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let began = clock::now();
    while !reached()? {
        if clock::now().saturating_sub(began) > TIMEOUT {
            return Err(format!("waited {TIMEOUT:?} until {what}").into());
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(peers: &[&str]) -> Listing {
        let connections = peers.iter().map(|peer| Row { peer: (*peer).to_owned() }).collect();
        Listing { open: 60, matched: 60, partial: false, connections }
    }

    #[test]
    fn a_listing_is_right_if_its_first_rows_are_the_never_readers() {
        let mut peers = vec!["127.77.0.1:1"; NEVER_READERS];
        assert!(listing(&peers).begins_with_never_readers());
        peers.push("127.0.0.1:1");
        assert!(listing(&peers).begins_with_never_readers());
        peers.swap(0, NEVER_READERS);
        assert!(!listing(&peers).begins_with_never_readers());
        assert!(!listing(&peers[..9]).begins_with_never_readers());
    }

    #[test]
    fn each_bound_is_a_finding() {
        let report =
            |p99_ms| ClientReport { p50_ms: 0.1, p99_ms, jain: 1.0, share: 1.0, failures: 0 };
        let asked = |millis: u64| Asked {
            by_path: [0, millis].map(|millis| vec![Duration::from_millis(millis); 3]),
            wrong: 0,
        };
        let missed = |asked, under| {
            let findings = findings(asked, &[report(1.0)], &[report(under)]);
            findings.iter().filter(|finding| !finding.met).count()
        };
        assert_eq!(missed(asked(999), 2.0), 0);
        assert_eq!(missed(asked(1000), 2.1), 2);
        assert_eq!(missed(Asked { wrong: 1, ..asked(1) }, 0.5), 1);
        assert_eq!(missed(Asked::default(), 0.5), PATHS.len());
    }
}
