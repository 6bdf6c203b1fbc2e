//! What the server sends unasked: order, wholeness, and what happens to those that do not keep up.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/rooms.rs"]
mod rooms;

use std::time::Duration;

use rooms::Rooms;
use towline::{
    Builder, CloseReason, Membership, Outcome, PushError, Server, SlowConsumer,
    test::{Client, Stage, stage},
};

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> Builder {
    Server::builder().threads(1)
}

/// A stage whose groups have a policy.
fn staged(slow: SlowConsumer) -> (Stage, Rooms) {
    let rooms = Rooms::new(slow);
    (stage(rooms::server(builder(), &rooms)), rooms)
}

/// A client that has joined the room `r`.
async fn member(stage: &Stage, members: usize) -> Client {
    let mut client = stage.connect().await;
    client.send("JOIN r");
    client.expect(format!("OK {members}")).await;
    client
}

/// A client that is in the room `r` for as long as the test keeps its membership.
async fn named_member(stage: &Stage, rooms: &Rooms, name: u64) -> (Client, Membership) {
    let mut client = stage.connect().await;
    client.send(format!("NAME {name}"));
    client.expect("OK").await;
    (client, rooms.topics.join(b"r", &rooms.conn(name)))
}

#[tokio::test(start_paused = true)]
async fn all_members_hear_what_is_said_and_those_that_left_do_not() {
    let (stage, rooms) = staged(SlowConsumer::Disconnect);
    let (mut ann, mut bob) = (member(&stage, 1).await, member(&stage, 2).await);
    ann.expect("CAME").await;
    ann.send("SAY r hello");
    ann.expect("2").await;
    ann.expect("hello").await;
    bob.expect("hello").await;
    bob.send("OTHERS r not me");
    bob.expect("OK").await;
    ann.expect("not me").await;
    bob.send("LEAVE r");
    bob.expect("OK").await;
    ann.send("SAY r alone");
    ann.expect("1").await;
    ann.expect("alone").await;
    bob.expect_nothing(SECOND).await;
    assert_eq!(rooms.topics.len(), 1);
    ann.send("QUIT");
    ann.expect("bye").await;
    assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);
    assert!(rooms.topics.is_empty());
    assert_eq!(stage.metric("towline_group_members"), 0.0);
    assert_eq!(stage.metric("towline_groups"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_push_comes_behind_the_reply_to_the_frame_that_sent_it() {
    let (stage, _rooms) = staged(SlowConsumer::Disconnect);
    let mut ann = stage.connect().await;
    ann.send_raw("SELF me\nNAME 1\nJOIN r\nSAY r hi\nTELL 1 you\n");
    ann.expect_raw("pushed\nOK\nOK 1\n1\nOK\nme\nhi\nyou\n").await;
}

#[tokio::test(start_paused = true)]
async fn pushes_go_on_while_a_reply_is_waited_for_but_not_inside_of_one() {
    let (stage, _rooms) = staged(SlowConsumer::Disconnect);
    let (mut ann, mut bob) = (member(&stage, 1).await, member(&stage, 2).await);
    ann.expect("CAME").await;
    ann.send("WAIT 1000 late");
    stage.advance(Duration::from_millis(10)).await;
    bob.send("SAY r now");
    bob.expect("2").await;
    ann.expect("now").await;
    ann.expect("late").await;
    ann.send("PARTS");
    stage.advance(Duration::from_millis(15)).await;
    bob.send("SAY r between");
    ann.expect("one reply in parts").await;
    ann.expect("between").await;
}

#[tokio::test(start_paused = true)]
async fn a_union_is_heard_once() {
    let (stage, _rooms) = staged(SlowConsumer::Disconnect);
    let mut ann = member(&stage, 1).await;
    ann.send("JOIN s");
    ann.expect("OK 1").await;
    let mut bob = member(&stage, 2).await;
    ann.expect("CAME").await;
    bob.send("UNION r s both");
    bob.expect("OK").await;
    ann.expect("both").await;
    bob.expect("both").await;
    ann.expect_nothing(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_is_told_to_the_others_and_not_to_itself() {
    let (stage, _rooms) = staged(SlowConsumer::Disconnect);
    let (mut ann, mut bob) = (member(&stage, 1).await, member(&stage, 2).await);
    bob.reset();
    ann.expect("CAME").await;
    ann.expect("GONE peer_reset").await;
    ann.send("SAY r still here");
    ann.expect("1").await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_read_is_closed_and_the_others_lose_nothing() {
    let rooms = Rooms::new(SlowConsumer::Disconnect);
    let stage = stage(rooms::server(builder().push_connection_bytes(4096), &rooms));
    let mut ann = member(&stage, 1).await;
    let (mut bob, _membership) = named_member(&stage, &rooms, 2).await;
    bob.stall();
    for number in 0..100 {
        ann.send(format!("SAY r {number:0>100}"));
        // To how many: one less when the other is gone.
        ann.expect_like("*").await;
        ann.expect(format!("{number:0>100}")).await;
    }
    assert_eq!(bob.is_closed().await, CloseReason::SlowConsumer);
    assert_eq!(stage.metric("towline_slow_consumers_total{action=\"closed\"}"), 1.0);
    let closed = "towline_connections_closed_total{reason=\"slow_consumer\"}";
    assert_eq!(stage.metric(closed), 1.0);
    assert_eq!(stage.metric("towline_push_waiting_bytes"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn messages_from_a_thread_without_a_runtime_arrive() {
    let (stage, rooms) = staged(SlowConsumer::Disconnect);
    let mut ann = stage.connect().await;
    ann.send("NAME 7");
    ann.expect("OK").await;
    let conn = rooms.conn(7);
    let pushed = std::thread::spawn(move || conn.push("from\nelsewhere").map(|()| conn));
    let conn = pushed.join().unwrap().unwrap();
    ann.expect("from elsewhere").await;
    conn.close_with("that is all");
    ann.expect("that is all").await;
    assert_eq!(ann.is_closed().await, CloseReason::ServiceClose);
    assert_eq!(conn.push("late"), Err(PushError::Closed));
    assert!(!conn.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_drain_writes_what_waits_before_the_last_words() {
    let (stage, _rooms) = staged(SlowConsumer::Disconnect);
    let (mut ann, mut bob) = (member(&stage, 1).await, member(&stage, 2).await);
    ann.expect("CAME").await;
    bob.stall();
    for _ in 0..10 {
        ann.send("SAY r word");
        ann.expect("2").await;
        ann.expect("word").await;
    }
    let drain = stage.drain();
    let reads = async {
        tokio::time::sleep(SECOND).await;
        bob.resume();
        for _ in 0..10 {
            bob.expect("word").await;
        }
        bob.expect("going down").await;
        ann.expect("going down").await;
    };
    let (outcome, ()) = tokio::join!(drain, reads);
    assert_eq!(outcome, Outcome::Clean);
}
