//! A closure that counts in a variable of its own would count for each clone of it alone.
use std::convert::Infallible;

use towline::{Lines, Server, service_fn};

fn main() {
    let mut batches = 0;
    let counting = service_fn(move |lines: Lines| {
        batches += 1;
        async move { Ok::<_, Infallible>(lines) }
    });
    let _ = Server::builder().serve(counting).run();
}
