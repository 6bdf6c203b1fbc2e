//! Sessions are made on several threads.
use towline::{Router, Server, protocol::Lf};

fn main() {
    let commands = Router::<Lf, u64>::new();
    let mut connections = 0;
    let _ = Server::builder()
        .router(commands, move |_conn| {
            connections += 1;
            connections
        })
        .run();
}
