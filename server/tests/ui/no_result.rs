//! A service returns a `Result`.
use towline::{EachLine, Line, Server, service_fn};

async fn upper(line: Line) -> Vec<u8> {
    line.to_ascii_uppercase()
}

fn main() {
    let _ = Server::builder().serve(EachLine::new(service_fn(upper))).run();
}
