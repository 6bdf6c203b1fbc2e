//! A gateway for devices: each says its name, then reports readings, checked and limited in rate.
//!
//! ```text
//! $ cargo run -p towline --example gateway &
//! $ printf 'temp 21.5\nHELLO boiler\ntemp 21.5\ntemp 23.5\ntemp hot\nLAST temp\n' | nc -q1 127.0.0.1 9000
//! ERR say HELLO first
//! hello boiler
//! OK
//! OK
//! ERR expected a name and a number
//! 23.5 after 2
//! ```
//!
//! Limits of every device are settings of the server; its rate is state of its connection.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use towline::{Builder, EachLine, Heartbeat, Line, Quota, RunError, Server, service_fn};

/// Readings that a device may send per second. More are refused, not queued.
pub const RATE: u32 = 100;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address).admin("127.0.0.1:9464")).run()?;
    Ok(())
}

/// The server, with the settings of `builder` and the limits of a gateway.
pub fn server(builder: Builder) -> Server {
    builder
        .connections(10_000)
        .frame_max(256)
        .line_timeout(Duration::from_secs(5))
        .request_timeout(Duration::from_secs(1))
        .heartbeat(Heartbeat::every(Duration::from_secs(30)))
        .serve_with(|_peer| {
            let device =
                Device { named: false, last: HashMap::new(), quota: Quota::per_second(RATE) };
            let device = Arc::new(Mutex::new(device));
            EachLine::new(service_fn(move |line: Line| {
                // Never contended: a connection serves one batch at a time.
                let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
                let reply = device.answer(&String::from_utf8_lossy(&line), Instant::now());
                async move { Ok::<_, Infallible>(reply) }
            }))
        })
}

/// The state of one connection.
struct Device {
    named: bool,
    /// The last value of each reading, and how many came.
    last: HashMap<String, (f64, u32)>,
    quota: Quota,
}

impl Device {
    fn answer(&mut self, line: &str, now: Instant) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["HELLO", name] = words[..] {
            self.named = true;
            return format!("hello {name}");
        }
        if !self.named {
            return "ERR say HELLO first".to_owned();
        }
        if self.quota.take(now).is_err() {
            return "ERR too fast".to_owned();
        }
        match words[..] {
            ["LAST", reading] => match self.last.get(reading) {
                Some((value, count)) => format!("{value} after {count}"),
                None => "NONE".to_owned(),
            },
            [reading, value] if value.parse::<f64>().is_ok() => {
                let (last, count) = self.last.entry(reading.to_owned()).or_default();
                (*last, *count) = (value.parse().unwrap_or_default(), *count + 1);
                "OK".to_owned()
            }
            _ => "ERR expected a name and a number".to_owned(),
        }
    }
}
