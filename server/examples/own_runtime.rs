//! Commands in a runtime of the program's own, until Ctrl-C.
//!
//! ```text
//! $ cargo run -p towline --example own_runtime &
//! $ printf 'ADD 2\nADD 0.5\nADD x\nTOTAL\nQUIT\n' | nc -q1 127.0.0.1 9000
//! 2
//! 2.5
//! ERR argument 1 is not a number
//! 2.5
//! bye
//! ```
//!
//! The server is the same as with threads of its own: the builder has its settings, `run_on_until` runs it.

use std::{env, time::Duration};

use tokio::net::TcpListener;
use towline::{
    Args, BoxError, Builder, Close, Outcome, ReplyError, Router, Server, drain, protocol::Lf,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let (signal, watch) = drain::channel();
    let builder = Server::builder().configure_listener(true).drain_timeout(Duration::from_secs(5));
    let serving = tokio::spawn(server(builder).run_on_until(listener, watch));
    // Whatever else the program does runs beside it.
    tokio::signal::ctrl_c().await?;
    signal.drain();
    if let Outcome::Cut(connections) = serving.await?? {
        eprintln!("{connections} connections were cut");
    }
    Ok(())
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Lf, f64>::new()
        .command("ADD", add)
        .command("TOTAL", |total: &mut f64, _: Args<'_>| *total)
        .command("QUIT", |_: &mut f64, _: Args<'_>| Close("bye"));
    builder.idle_timeout(Duration::from_secs(300)).router(commands, |_conn| 0.0)
}

fn add(total: &mut f64, args: Args<'_>) -> Result<f64, ReplyError> {
    let number: f64 = args.parse()?;
    *total += number;
    Ok(*total)
}
