//! What is made for a connection is a session, or the state of a router.
use towline::Server;

struct Device;

fn main() {
    let _ = Server::builder().sessions(|_conn| Device).run();
}
