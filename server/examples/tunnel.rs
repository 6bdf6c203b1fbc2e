//! A tunnel: a line that names where to, and then bytes both ways.
//!
//! ```text
//! $ cargo run -p towline --example tunnel &
//! $ printf 'CONNECT\nCONNECT nowhere\n' | nc -q1 127.0.0.1 9100
//! ERR usage: CONNECT host:port
//! ERR cannot connect to 'nowhere'
//! ```
//! Only loopback addresses are connected to, so that it is no way into a network: see `is_allowed`.

use std::{env, io, net::SocketAddr, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, lookup_host},
};
use towline::{
    Action, Args, Builder, Cx, Deferred, Detach, Detached, ReplyError, Router, RunError, Server,
    protocol::Lf,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that has not been connected. It has no state of its own.
#[derive(Debug)]
pub struct Client;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9100".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Lf, Client>::new().command("CONNECT", connect).within(CONNECT_TIMEOUT);
    builder.router(commands, |_conn| Client)
}

fn connect(_: &mut Client, args: Args<'_>) -> Result<Deferred<Lf, Client>, ReplyError> {
    let to: &str = args.parse().map_err(|_usage| ReplyError::new("usage: CONNECT host:port"))?;
    let to = to.to_owned();
    Ok(Deferred::then(
        async move { (open(&to).await, to) },
        |_: &mut Client, (upstream, to), cx: &mut Cx<'_, Lf>| match upstream {
            Ok(upstream) => {
                cx.write("OK");
                Action::Detach(Detach::new(move |client| relay(client, upstream)))
            }
            Err(_failed) => cx.reply(ReplyError::owned(format!("cannot connect to '{to}'"))),
        },
    ))
}

async fn open(to: &str) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host(to).await?.filter(is_allowed).collect();
    TcpStream::connect(&addresses[..]).await
}

fn is_allowed(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Until both sides have ended, or one has failed, or the server drains.
async fn relay(mut client: Detached, mut upstream: TcpStream) {
    let drain = client.drain();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut upstream) => {}
        () = drain => {}
    }
}
