//! Requests of Redis and memcached clients: towline's examples `kv` and `memcached` beside other servers,
//! which take turns.

mod redis_benchmark;
mod servers;

use std::{fmt::Write as _, path::PathBuf, time::Duration};

pub(crate) use self::servers::Programs;
use self::servers::{Clients, WireServer};
use crate::{
    Error,
    child::Server,
    kernel::process_cpu_time,
    stats::{Spread, short},
    towline_load,
};

/// Connections of the load.
const CONNECTIONS: u32 = 50;
/// Requests that each connection has in flight.
const PIPELINES: [u32; 3] = [1, 16, 64];

/// A command that is measured.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) name: &'static str,
    clients: Clients,
    /// What redis-benchmark calls it, or the line that `towline load` sends.
    command: &'static str,
}

/// The requests. Those to memcached have replies of one line, as `towline load` counts them.
pub(crate) static REQUESTS: [Request; 4] = [
    Request { name: "redis-set", clients: Clients::Redis, command: "set" },
    Request { name: "redis-get", clients: Clients::Redis, command: "get" },
    Request {
        name: "memcached-incr",
        clients: Clients::Memcached,
        command: "incr n{conn} 1\\r\\n",
    },
    Request {
        name: "memcached-get-miss",
        clients: Clients::Memcached,
        command: "get m{conn}\\r\\n",
    },
];

/// What to measure, and how often.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) towline: PathBuf,
    pub(crate) programs: Programs,
    pub(crate) rounds: u32,
    /// Requests of redis-benchmark in a turn without a pipeline.
    pub(crate) requests: u64,
    /// Time of a turn of `towline load`.
    pub(crate) seconds: Duration,
}

/// The measurements of a server: requests per server-CPU-second by pipeline.
#[derive(Debug)]
struct Row {
    server: WireServer,
    absent: bool,
    rates: [Vec<f64>; PIPELINES.len()],
}

/// The table of each request. In each round the servers take turns, every one newly started.
pub(crate) fn report(plan: &Plan, requests: &[&Request]) -> Result<String, Error> {
    let mut text = String::new();
    for request in requests {
        let servers = WireServer::ALL.into_iter().filter(|s| s.clients() == request.clients);
        let mut rows: Vec<Row> = servers
            .map(|server| Row { server, absent: false, rates: Default::default() })
            .collect();
        for round in 0..plan.rounds {
            for row in &mut rows {
                let name = row.server.name();
                eprintln!("{} {}/{}: {name}", request.name, round + 1, plan.rounds);
                match plan.programs.start(row.server)? {
                    Some(server) => row.measure(plan, request, &server)?,
                    None => row.absent = true,
                }
            }
        }
        let _ = write!(
            text,
            "**{}**: requests per server-CPU-second, {CONNECTIONS} connections.\n\n| server |",
            request.name
        );
        for pipeline in PIPELINES {
            let _ = write!(text, " pipeline {pipeline} | towline's are … times that |");
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(2 * PIPELINES.len()));
        rows.iter().for_each(|row| text += &row.show(&rows[0]));
        text.push('\n');
    }
    Ok(text)
}

impl Row {
    fn measure(&mut self, plan: &Plan, request: &Request, server: &Server) -> Result<(), Error> {
        if request.clients == Clients::Redis {
            // The keys of `get`, and warm caches for `set`.
            redis_benchmark::run(server.addr, "set", 16, CONNECTIONS, plan.requests)?;
        } else {
            prepare_counters(server)?;
        }
        for (pipeline, rates) in PIPELINES.into_iter().zip(&mut self.rates) {
            rates.push(match request.clients {
                Clients::Redis => {
                    let count = plan.requests * u64::from(pipeline.min(16));
                    let before = process_cpu_time(server.pid());
                    redis_benchmark::run(
                        server.addr,
                        request.command,
                        pipeline,
                        CONNECTIONS,
                        count,
                    )?;
                    count as f64
                        / process_cpu_time(server.pid()).saturating_sub(before).as_secs_f64()
                }
                Clients::Memcached => {
                    let time = format!("{}ms", plan.seconds.as_millis());
                    let (count, window) = (CONNECTIONS.to_string(), pipeline.to_string());
                    let flags = ["--mode", "ping-pong", "-c", &count, "--window", &window];
                    let flags = [&flags[..], &["-m", request.command, "-T", &time]].concat();
                    let run = towline_load::run(&plan.towline, server, &flags)?;
                    if run.report.failures() > 0 || run.report.lines.received == 0 {
                        return Err(format!("{}: {:?}", self.server.name(), run.report).into());
                    }
                    run.per_cpu_second()
                }
            });
        }
        Ok(())
    }

    fn show(&self, first: &Self) -> String {
        let name = self.server.name();
        if self.absent {
            return format!("| {name} | not on this host: {} |\n", self.server.comes_from());
        }
        let mut text = format!("| {name} |");
        for (rates, ours) in self.rates.iter().zip(&first.rates) {
            let (Some(rate), ours) = (Spread::of(rates), Spread::of(ours)) else { continue };
            let ratio = ours.map_or("-".to_owned(), |ours| short(ours.median / rate.median));
            let _ = write!(
                text,
                " {} ({} to {}) | {ratio} |",
                short(rate.median),
                short(rate.min),
                short(rate.max)
            );
        }
        text + "\n"
    }
}

/// Sets the counters that connections increment, so that each has one.
fn prepare_counters(server: &Server) -> Result<(), Error> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(server.addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let sets: String = (0..CONNECTIONS).map(|n| format!("set n{n} 0 0 1\r\n1\r\n")).collect();
    stream.write_all(sets.as_bytes())?;
    let mut replies = vec![0; CONNECTIONS as usize * b"STORED\r\n".len()];
    stream.read_exact(&mut replies)?;
    match replies == b"STORED\r\n".repeat(CONNECTIONS as usize) {
        true => Ok(()),
        false => Err(format!("a set was answered by {}", replies.escape_ascii()).into()),
    }
}
