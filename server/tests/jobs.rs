//! The tests of `docs/TUTORIAL.md`, and that the tutorial shows this program and these tests.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{fs, time::Duration};

use towline::{
    CloseReason, Server,
    test::{self, Client},
};

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/jobs.rs"]
mod jobs;

use jobs::{HELLO_TIME, Netstring, TAKE_TIME};

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

/// A tutorial whose code is not the program's would teach what was never compiled.
#[test]
fn the_tutorial_shows_the_program_and_its_tests() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| fs::read_to_string(format!("{root}/{path}")).unwrap();
    let sources = ["server/examples/jobs.rs", "server/tests/jobs.rs"].map(read);
    let tutorial = read("docs/TUTORIAL.md");
    let blocks: Vec<_> = tutorial.split("```rust").skip(1).collect();
    assert!(blocks.len() > 5, "{} blocks", blocks.len());
    for block in blocks {
        let (_, code) = block.split_once('\n').unwrap();
        let (code, _) = code.split_once("```").unwrap();
        for part in code.split("\n\n").map(str::trim_end).filter(|part| !part.is_empty()) {
            let shown = sources.iter().any(|source| source.contains(part));
            assert!(shown, "not in the program:\n{part}");
        }
    }
}
