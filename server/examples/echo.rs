//! The smallest server: every batch of lines goes back as it came.
//!
//! ```text
//! $ cargo run -p towline --example echo &
//! $ printf 'one\ntwo\n' | nc -q1 127.0.0.1 9000
//! one
//! two
//! ```
//!
//! A batch is every complete line of one read. The service below never looks at them, so it costs
//! nothing a line: handing the batch back hands the memory it was read into back.

use std::{convert::Infallible, env};

use towline::{Lines, RunError, Server, service_fn};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    Server::builder().listen(&address).serve(service_fn(echo)).run().map(drop)
}

/// A service may be a plain function.
///
/// # Errors
/// Never.
pub async fn echo(lines: Lines) -> Result<Lines, Infallible> {
    Ok(lines)
}
