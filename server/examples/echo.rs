//! The smallest server: every batch of lines goes back as it came.
//!
//! ```text
//! $ cargo run -p towline --example echo &
//! $ printf 'one\ntwo\n' | nc -q1 127.0.0.1 9000
//! one
//! two
//! ```
//!
//! A batch is every complete line of one read. The service below does not look at its lines, so it
//! costs nothing per line: it returns the memory that the batch was read into.

use std::{convert::Infallible, env};

use towline::{Builder, Lines, RunError, Server, service_fn};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address)).run()?;
    Ok(())
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    builder.serve(service_fn(echo))
}

async fn echo(lines: Lines) -> Result<Lines, Infallible> {
    Ok(lines)
}
