//! A gateway for devices: each says who it is and then reports readings, which are checked, limited
//! in rate and summed up.
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
//! The limits that hold for any device (connections, length of a line, silence, heartbeat) are the
//! server's, set in `main`. The limit a device has to itself, its rate, is the session's.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tower::Service;
use towline::{
    BoxError, Builder, EachLine, Heartbeat, Line, Lines, RunError, Server, ServiceBuilder,
    service_fn,
};

/// Readings a device may send in a second; more are refused, not queued.
pub const RATE: u32 = 100;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    limits(Server::builder().listen(&address).admin("127.0.0.1:9464"))
        .serve_with(|_peer| device())
        .run()
        .map(drop)
}

/// What holds for every device.
pub fn limits(builder: Builder) -> Builder {
    builder.heartbeat(Heartbeat::every(Duration::from_secs(30))).set(|settings| {
        settings.limits.connections = NonZeroU32::new(10_000);
        settings.limits.line_bytes = 256;
        settings.timeouts.line = Some(Duration::from_secs(5));
    })
}

/// The service of one device's connection: layers of Tower around a service a line.
pub fn device() -> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let device = Arc::new(Mutex::new(Device::default()));
    let line = service_fn(move |line: Line| {
        let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = device.answer(&String::from_utf8_lossy(&line), Instant::now());
        async move { Ok::<_, Infallible>(reply) }
    });
    ServiceBuilder::new().timeout(Duration::from_secs(1)).service(EachLine::new(line))
}

#[derive(Debug, Default)]
struct Device {
    name: Option<String>,
    last: HashMap<String, (f64, u32)>,
    window: Option<(Instant, u32)>,
}

impl Device {
    fn answer(&mut self, line: &str, now: Instant) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), self.name.is_some()) {
            (["HELLO", name], _) => {
                self.name = Some((*name).to_owned());
                format!("hello {name}")
            }
            (_, false) => "ERR say HELLO first".to_owned(),
            _ if !self.within_rate(now) => "ERR too fast".to_owned(),
            (["LAST", reading], _) => match self.last.get(*reading) {
                Some((value, count)) => format!("{value} after {count}"),
                None => "NONE".to_owned(),
            },
            ([reading, value], _) => match value.parse::<f64>() {
                Ok(value) => {
                    let count = self.last.get(*reading).map_or(0, |(_, count)| *count);
                    self.last.insert((*reading).to_owned(), (value, count + 1));
                    "OK".to_owned()
                }
                Err(_) => "ERR expected a name and a number".to_owned(),
            },
            _ => "ERR expected a name and a number".to_owned(),
        }
    }

    fn within_rate(&mut self, now: Instant) -> bool {
        let (begun, count) = self.window.get_or_insert((now, 0));
        if now.duration_since(*begun) >= Duration::from_secs(1) {
            (*begun, *count) = (now, 0);
        }
        *count += 1;
        *count <= RATE
    }
}
