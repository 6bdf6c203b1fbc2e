//! A function is made a service by `service_fn`.
use std::convert::Infallible;

use towline::{Lines, Server};

async fn echo(lines: Lines) -> Result<Lines, Infallible> {
    Ok(lines)
}

fn main() {
    let _ = Server::builder().serve(echo).run();
}
