//! The examples whose clients hear of one another.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/chat.rs"]
mod chat;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/nats.rs"]
mod nats;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/pubsub.rs"]
mod pubsub;

use std::time::Duration;

use towline::{
    CloseReason, Outcome, Server, SlowConsumer,
    test::{Client, Stage, stage},
};

const SECOND: Duration = Duration::from_secs(1);

/// A guest of the chat who has a name, as the `number`th.
async fn guest(stage: &Stage, name: &str, number: usize) -> Client {
    let mut guest = stage.connect().await;
    guest.send(format!("NICK {name}"));
    guest.expect(format!("OK {number} here")).await;
    guest
}

fn chat_stage(slow: SlowConsumer) -> Stage {
    stage(chat::server(Server::builder().push_connection_bytes(4096), slow))
}

#[tokio::test(start_paused = true)]
async fn chat_tells_who_comes_who_speaks_and_who_goes() {
    let stage = chat_stage(SlowConsumer::Disconnect);
    let (mut ann, mut bob) = (guest(&stage, "ann", 1).await, guest(&stage, "bob", 2).await);
    ann.expect("JOIN bob").await;
    ann.send("SAY hello there");
    ann.expect("OK").await;
    bob.expect("SAY ann hello there").await;
    bob.send("TELL ann in your ear");
    bob.expect("OK").await;
    ann.expect("TELL bob in your ear").await;
    let mut other = stage.connect().await;
    other.send("NICK bob");
    other.expect("ERR that name is taken").await;
    other.send(format!("NICK {}", "x".repeat(33)));
    other.expect("ERR that name is too long").await;
    other.expect_nothing(SECOND).await;
    bob.reset();
    ann.expect("QUIT bob peer_reset").await;
    other.send("NICK bob");
    other.expect("OK 2 here").await;
    ann.expect("JOIN bob").await;
    ann.send("WHO");
    ann.expect("HERE ann bob").await;
    assert_eq!(stage.metric("towline_group_members"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn chat_closes_a_guest_that_does_not_keep_up_and_tells_the_others() {
    let stage = chat_stage(SlowConsumer::Disconnect);
    let (mut ann, mut bob) = (guest(&stage, "ann", 1).await, guest(&stage, "bob", 2).await);
    ann.expect("JOIN bob").await;
    bob.stall();
    // Replies to the lines of one read come together, and what is pushed behind them.
    ann.send_raw(format!("SAY {}\n", "x".repeat(200)).repeat(60));
    ann.expect_raw("OK\n".repeat(60)).await;
    ann.expect("QUIT bob slow_consumer").await;
    assert_eq!(bob.is_closed().await, CloseReason::SlowConsumer);
}

#[tokio::test(start_paused = true)]
async fn chat_says_last_words_at_a_drain() {
    let stage = chat_stage(SlowConsumer::Disconnect);
    let mut ann = guest(&stage, "ann", 1).await;
    let (outcome, ()) = tokio::join!(stage.drain(), ann.expect("NOTICE the server is going down"));
    assert_eq!(outcome, Outcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn pubsub_counts_subscriptions_and_gives_messages_to_those_who_have_them() {
    let stage = stage(pubsub::server(Server::builder()));
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    ann.send_raw("SUBSCRIBE news sport\r\nGET a\r\nPUBLISH news x\r\nPING\r\n");
    ann.expect_raw(
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$5\r\nsport\r\n:2\r\n\
         -ERR unknown command 'GET'\r\n\
         -ERR only (UN)SUBSCRIBE, PING and QUIT are allowed while subscribed\r\n\
         *2\r\n$4\r\npong\r\n$0\r\n\r\n",
    )
    .await;
    bob.send_raw("PUBLISH news hello\r\nPUBLISH none hello\r\nPUBSUB NUMSUB news none\r\n");
    bob.expect_raw(":1\r\n:0\r\n*4\r\n$4\r\nnews\r\n:1\r\n$4\r\nnone\r\n:0\r\n").await;
    ann.expect_raw("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n").await;
    ann.send_raw("UNSUBSCRIBE\r\n");
    ann.expect_like("*3").await;
    for _ in 0..11 {
        ann.expect_like("*").await;
    }
    ann.send_raw("PUBLISH sport x\r\n");
    ann.expect_raw(":0\r\n").await;
    ann.reset();
    stage.advance(SECOND).await;
    assert_eq!(stage.metric("towline_groups"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn pubsub_speaks_the_version_that_each_subscriber_asks_for() {
    const HELLO: &str =
        "$6\r\nserver\r\n$7\r\ntowline\r\n$7\r\nversion\r\n$5\r\n6.0.0\r\n$5\r\nproto\r\n";
    let stage = stage(pubsub::server(Server::builder()));
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    ann.send_raw("HELLO 3\r\nSUBSCRIBE news\r\nHELLO 2\r\nHELLO 4\r\n");
    ann.expect_raw(format!("%3\r\n{HELLO}:3\r\n>3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"))
        .await;
    ann.expect("-ERR unsubscribe before another version").await;
    ann.expect("-NOPROTO unsupported protocol version").await;
    bob.send_raw("HELLO\r\nSUBSCRIBE news\r\n");
    bob.expect_raw(format!("*6\r\n{HELLO}:2\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"))
        .await;
    ann.send_raw("PING\r\nPUBSUB NUMSUB news\r\nPUBLISH news hi\r\n");
    ann.expect_raw("+PONG\r\n*2\r\n$4\r\nnews\r\n:2\r\n:2\r\n").await;
    ann.expect_raw(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n").await;
    bob.expect_raw("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n").await;
}

/// A client of `nats` that has read the server's first line.
async fn nats_client(stage: &Stage) -> Client {
    let mut client = stage.connect().await;
    client.expect_like("INFO {*}").await;
    client
}

#[tokio::test(start_paused = true)]
async fn nats_gives_each_subscription_its_messages_and_forgets_those_that_end() {
    let stage = stage(nats::server(Server::builder()));
    let (mut ann, mut bob) = (nats_client(&stage).await, nats_client(&stage).await);
    ann.send_raw("SUB a.b 1\r\nSUB a.* 2\r\nSUB a.> 3\r\nSUB b.> 4\r\nPING\r\n");
    ann.expect_raw("PONG\r\n").await;
    bob.send_raw("CONNECT {\"verbose\": true}\r\nSUB > 1\r\nPUB a.b.c 2\r\nhi\r\n");
    bob.expect_raw("+OK\r\n+OK\r\n+OK\r\nMSG a.b.c 1 2\r\nhi\r\n").await;
    ann.expect_raw("MSG a.b.c 3 2\r\nhi\r\n").await;
    ann.send_raw("UNSUB 2\r\nUNSUB 3 5\r\nUNSUB 9\r\nPING\r\n");
    ann.expect_raw("PONG\r\n").await;
    bob.send_raw("UNSUB 1\r\nPUB a.b inbox 4\r\n\r\n\r\n\r\n");
    bob.expect_raw("+OK\r\n+OK\r\n").await;
    for _ in 0..2 {
        // Number 1 and number 3, in either order.
        ann.expect_like("MSG a.b * inbox 4").await;
        ann.expect_raw("\r\n\r\n\r\n").await;
    }
    ann.expect_nothing(SECOND).await;
    bob.send_raw("PUB a.* 0\r\n\r\nPUB .a 0\r\n\r\nSUB a..b 1\r\nSUB a.>.b 1\r\nSUB a\r\n");
    for error in
        ["Invalid Publish Subject", "Invalid Publish Subject", "Invalid Subject", "Invalid Subject"]
    {
        bob.expect(format!("-ERR '{error}'")).await;
    }
    bob.expect("-ERR 'wrong number of arguments for 'sub' command'").await;
    bob.send("DANCE");
    bob.expect("-ERR 'Unknown Protocol Operation'").await;
    assert_eq!(bob.is_closed().await, CloseReason::ServiceClose);
    ann.reset();
    stage.advance(SECOND).await;
    assert_eq!(stage.metric("towline_groups"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn nats_pings_a_silent_client_and_closes_one_that_does_not_answer() {
    let stage = stage(nats::server(Server::builder()));
    let mut ann = nats_client(&stage).await;
    ann.expect_nothing(Duration::from_secs(119)).await;
    ann.expect("PING").await;
    ann.send("PONG");
    ann.expect_nothing(Duration::from_secs(119)).await;
    ann.expect("PING").await;
    assert_eq!(ann.is_closed().await, CloseReason::HeartbeatTimeout);
}
