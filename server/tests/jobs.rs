//! The tests of `docs/TUTORIAL.md`, and that the tutorial shows this program and these tests.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use jobs::{HELLO_TIME, Netstring, TAKE_TIME};
use towline::{
    CloseReason, Server,
    test::{self, Client},
};

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/jobs.rs"]
mod jobs;

#[test]
fn the_protocol_keeps_its_laws() {
    test::laws::<Netstring>([
        "5:hello,0:,3:a,b,",
        "12:hello world!,1:",
        "007:leading,",
        "5:hello!",
        "-1:x,",
        ":,",
        "5hello,",
        "999999999:never there",
        "1234567890:more digits than are read,",
        "\0",
    ]);
}

/// The same queue of jobs, however its clients' bytes are cut into reads, and however slowly they read.
#[test]
fn replies_do_not_depend_on_how_the_input_is_cut() {
    let input =
        ["HELLO ann", "PUT one", "PUT two", "TAKE", "DANCE", "DONE 1", "DONE 1", "QUIT", "LEN"];
    let held = test::any_split(server, input.map(net).concat());
    assert_eq!(held.reason, CloseReason::ServiceClose);
}

fn server() -> Server {
    jobs::server(Server::builder())
}

/// `text` as a netstring.
fn net(text: &str) -> String {
    format!("{}:{text},", text.len())
}

async fn ask(client: &mut Client, command: &str, reply: &str) {
    client.send_raw(net(command));
    client.expect_raw(net(reply)).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_takes_what_another_put() {
    let stage = test::stage(server());
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    ask(&mut ann, "LEN", "ERR say HELLO first").await;
    ask(&mut ann, "HELLO ann", "hello ann").await;
    ask(&mut bob, "HELLO bob", "hello bob").await;
    bob.send_raw(net("TAKE"));
    bob.expect_nothing(Duration::from_secs(2)).await;
    ask(&mut ann, "PUT wash cars", "OK 1").await;
    bob.expect_raw(net("1 wash cars")).await;
    ask(&mut ann, "DONE 1", "ERR that is not your job").await;
    ask(&mut bob, "DONE 1", "OK").await;
    ask(&mut bob, "DANCE", "ERR unknown command 'DANCE'").await;
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_worker_that_is_gone_is_the_next_one() {
    let stage = test::stage(server());
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    ask(&mut ann, "HELLO ann", "hello ann").await;
    ask(&mut ann, "PUT one", "OK 1").await;
    ask(&mut ann, "PUT two", "OK 2").await;
    ask(&mut bob, "HELLO bob", "hello bob").await;
    ask(&mut bob, "TAKE", "1 one").await;
    bob.reset();
    assert_eq!(bob.is_closed().await, CloseReason::PeerReset);
    ask(&mut ann, "TAKE", "1 one").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_told_when_its_time_is_up_and_may_go_on() {
    let stage = test::stage(server());
    let (mut ann, mut silent) = (stage.connect().await, stage.connect().await);
    ask(&mut ann, "HELLO ann", "hello ann").await;
    ann.send_raw(net("TAKE") + &net("LEN"));
    stage.advance(HELLO_TIME).await;
    silent.expect_raw(net("ERR say HELLO sooner")).await;
    assert_eq!(silent.is_closed().await, CloseReason::ServiceClose);
    stage.advance(TAKE_TIME).await;
    ann.expect_raw(net("ERR timeout") + &net("0")).await;
}

/// A job that came while its worker took no replies was lost when the connection ended: the future of `TAKE` was
/// done, and the value had not come back to the state yet.
#[tokio::test(start_paused = true)]
async fn a_job_that_comes_while_its_worker_takes_no_replies_is_not_lost_with_it() {
    let stage = test::stage(jobs::server(Server::builder().output_bytes(1024)));
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    ask(&mut ann, "HELLO ann", "hello ann").await;
    ask(&mut bob, "HELLO bob", "hello bob").await;
    ann.stall();
    ann.send_raw(net("LEN").repeat(1000) + &net("TAKE"));
    stage.advance(Duration::from_secs(1)).await;
    ask(&mut bob, "PUT one", "OK 1").await;
    stage.advance(Duration::from_secs(1)).await;
    ask(&mut bob, "LEN", "0").await;
    ann.reset();
    assert_eq!(ann.is_closed().await, CloseReason::PeerReset);
    ask(&mut bob, "TAKE", "1 one").await;
}

#[test]
fn the_example_does_what_its_documentation_shows() {
    let commands =
        ["HELLO ann", "PUT wash cars", "TAKE", "DONE 1", "LEN", "QUIT"].map(net).concat();
    let replies = ["hello ann", "OK 1", "1 wash cars", "OK", "0", "bye"].map(net).concat();
    let held = test::any_split(server, &commands);
    assert_eq!(String::from_utf8(held.said).unwrap(), replies);
    let documentation = include_str!("../examples/jobs.rs");
    assert!(documentation.contains(&format!("printf '{commands}'")), "{commands}");
    assert!(documentation.contains(&format!("//! {replies}\n")), "{replies}");
}

/// A tutorial whose code is not the program's would teach what was never compiled. One that left parts out, or
/// showed a part twice, did not compile for the reader who followed it.
#[test]
fn the_tutorial_shows_the_whole_program_once_and_its_tests() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let parts = |code: &str| -> Vec<String> {
        code.split("\n\n").map(|part| part.trim_end().to_owned()).collect()
    };
    let [program, tests] = ["server/examples/jobs.rs", "server/tests/jobs.rs"].map(read);
    let tutorial = read("docs/TUTORIAL.md");
    let blocks =
        tutorial.split("```rust\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let mut shown: Vec<_> = blocks.flat_map(parts).collect();
    for part in &mut shown {
        // Where the reader's program is.
        *part = part.replace("../src/main.rs", "../examples/jobs.rs");
        let known = [&program, &tests].iter().any(|source| source.contains(&**part));
        assert!(known, "not in the program:\n{part}");
    }
    for part in parts(&program).iter().filter(|part| !part.starts_with("//!")) {
        let times = shown.iter().filter(|shown| *shown == part).count();
        assert_eq!(times, 1, "times that the tutorial shows\n{part}");
    }
}
