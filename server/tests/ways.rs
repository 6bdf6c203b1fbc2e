//! The ways to write a service answer alike.

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/ways.rs"]
mod ways;

use towline::{Server, test};

#[test]
fn every_way_answers_each_line_with_one_as_long_in_any_cut() {
    for way in ways::WAYS {
        let server = || ways::server(Server::builder(), way).expect("one of the ways");
        let held = test::any_split(server, "ping\nping\nping\n");
        let reply: &[u8] = if way == "batch" { b"ping\n" } else { b"pong\n" };
        assert_eq!(held.said, reply.repeat(3), "{way}");
    }
    assert!(ways::server(Server::builder(), "no way").is_none());
}
