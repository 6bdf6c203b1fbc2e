//! A service of single lines goes into `EachLine`.
use std::convert::Infallible;

use towline::{Line, Server, service_fn};

async fn upper(line: Line) -> Result<Vec<u8>, Infallible> {
    Ok(line.to_ascii_uppercase())
}

fn main() {
    let _ = Server::builder().serve(service_fn(upper)).run();
}
