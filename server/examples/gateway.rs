//! A gateway for devices that are who their certificates say. Each reports readings, and has a rate of its own, however
//! often it is connected.
//!
//! ```text
//! $ cargo run -p towline --features tls --example gateway -- \
//!     127.0.0.1:9000 gateway.crt gateway.key devices-ca.crt boiler meter &
//! $ printf 'WHO\nSET temp 21.5\nSET temp 23.5\nSET temp hot\nLAST temp\nQUIT\n' |
//!     openssl s_client -quiet -connect 127.0.0.1:9000 -CAfile ca.crt -cert boiler.crt -key boiler.key
//! boiler
//! OK
//! OK
//! ERR argument 2 is not a number
//! 23.5 after 2
//! bye
//! ```
//!
//! A device without a certificate of the authority never comes so far. One that is not among those named is refused with
//! a word, and so is one that has used up its rate. Certificates that are renewed are taken over as their files change;
//! `devices-ca.crt.crl`, if there is such a file, has those that are revoked.

use std::{
    collections::{HashMap, HashSet},
    env,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use towline::{
    Args, Builder, Close, ConnExt, Cx, Heartbeat, Identity, Quota, Quotas, Refused, ReplyError,
    Router, RunError, Server, Tls, protocol::Lf,
};

/// Commands that a device may send per second, on all its connections together. More are refused, not queued.
pub const RATE: u32 = 100;

/// Devices whose rate is remembered.
const DEVICES_MAX: usize = 10_000;

/// Readings of different names that a connection remembers.
const READINGS_MAX: usize = 100;

/// What a device is called: a SPIFFE ID of this trust domain, or a DNS name under this one.
const SPIFFE: &str = "spiffe://example/device/";
const DNS: &str = ".devices.example";

fn main() -> Result<(), RunError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, cert, key, ca, devices @ ..] = &arguments[..] else {
        eprintln!("usage: gateway ADDRESS CERT KEY CLIENT_CA DEVICE...");
        std::process::exit(2);
    };
    let mut tls = Tls::files(cert, key).clients_of(ca);
    let revoked = PathBuf::from(format!("{ca}.crl"));
    if revoked.exists() {
        tls = tls.revoked_in(revoked);
    }
    let builder = Server::builder().listen(address).admin("127.0.0.1:9464");
    server(builder, tls, Gateway::new(devices)).run()?;
    Ok(())
}

/// The server, with the settings of `builder` and the limits of a gateway.
pub fn server(builder: Builder, tls: Tls, gateway: Gateway) -> Server {
    let commands = Router::<Lf, Device>::new()
        .before(within_its_rate)
        .command("WHO", |device: &mut Device, _: Args<'_>| device.name.clone())
        .command("SET", set)
        .command("LAST", last)
        .command("QUIT", |_: &mut Device, _: Args<'_>| Close("bye"));
    let gateway = Arc::new(gateway);
    builder
        .tls(tls)
        .connections(10_000)
        .frame_max(256)
        .line_timeout(Duration::from_secs(5))
        .heartbeat(Heartbeat::every(Duration::from_secs(30)))
        .router(commands, move |conn| {
            let peer = conn.peer();
            let name = peer.identity().and_then(name_of).ok_or(Refused("no device"))?;
            gateway.admit(name)
        })
}

/// What all connections share.
#[derive(Debug)]
pub struct Gateway {
    known: HashSet<String>,
    rates: Quotas<String>,
}

impl Gateway {
    /// For these devices.
    pub fn new<N: Into<String>>(known: impl IntoIterator<Item = N>) -> Self {
        let rates = Quotas::new(Quota::per_second(RATE)).at_most(DEVICES_MAX);
        Self { known: known.into_iter().map(Into::into).collect(), rates }
    }

    /// The state of a connection of the device `name`. Connecting counts like a command: a device that sends too much
    /// gains nothing by coming again.
    fn admit(self: &Arc<Self>, name: &str) -> Result<Device, Refused> {
        if !self.known.contains(name) {
            return Err(Refused("unknown device"));
        }
        self.rates.take(name, Instant::now()).map_err(|_wait| Refused("too fast"))?;
        Ok(Device { name: name.to_owned(), gateway: self.clone(), last: HashMap::new() })
    }
}

/// What a device is called, by the first name in its certificate that is one of a device.
fn name_of(identity: &Identity) -> Option<&str> {
    let by_uri = identity.uris().iter().filter_map(|uri| uri.strip_prefix(SPIFFE));
    let by_dns = identity.dns_names().iter().filter_map(|name| name.strip_suffix(DNS));
    by_uri.chain(by_dns).find(|name| !name.is_empty())
}

/// The state of one connection.
#[derive(Debug)]
pub struct Device {
    name: String,
    gateway: Arc<Gateway>,
    /// The last value of each reading, and how many came.
    last: HashMap<String, (f64, u32)>,
}

fn within_its_rate(
    device: &mut Device,
    _: Args<'_>,
    cx: &mut Cx<'_, Lf>,
) -> Result<(), ReplyError> {
    let taken = device.gateway.rates.take(device.name.as_str(), cx.now());
    taken.map_err(|_wait| ReplyError::new("too fast"))
}

fn set(device: &mut Device, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let (reading, value): (&str, f64) = args.parse()?;
    if device.last.len() >= READINGS_MAX && !device.last.contains_key(reading) {
        return Err(ReplyError::new("too many readings"));
    }
    let (last, count) = device.last.entry(reading.to_owned()).or_default();
    (*last, *count) = (value, count.saturating_add(1));
    Ok("OK")
}

fn last(device: &mut Device, args: Args<'_>) -> Result<String, ReplyError> {
    let reading: &str = args.parse()?;
    let (value, count) = device.last.get(reading).ok_or(ReplyError::new("never set"))?;
    Ok(format!("{value} after {count}"))
}
