//! Pushes that go wrong: each is said, bounded and counted.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/rooms.rs"]
mod rooms;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rooms::Rooms;
use towline::{
    Args, CloseReason, Conn, Outcome, PushError, Router, Server, SlowConsumer, Topics,
    protocol::Lf,
    test::{Client, Stage, stage},
};

const SECOND: Duration = Duration::from_secs(1);

fn staged(slow: SlowConsumer) -> (Stage, Rooms) {
    let rooms = Rooms::new(slow);
    (stage(rooms::server(Server::builder().threads(1), &rooms)), rooms)
}

async fn named(stage: &Stage, name: u64) -> Client {
    let mut client = stage.connect().await;
    client.send(format!("NAME {name}"));
    client.expect("OK").await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_gone_takes_nothing_and_its_sender_is_told() {
    let (stage, rooms) = staged(SlowConsumer::Disconnect);
    let (ann, mut bob) = (named(&stage, 1).await, named(&stage, 2).await);
    let conn = rooms.conn(1);
    drop(ann);
    stage.advance(SECOND).await;
    assert_eq!(conn.push("hello"), Err(PushError::Closed));
    assert_eq!(conn.send("hello").await, Err(PushError::Closed));
    conn.close();
    // A membership of it hears nothing, and its topic is gone with it.
    let membership = rooms.topics.join(b"r", &conn);
    assert_eq!(rooms.topics.send(b"r", "hello"), Ok(0));
    membership.leave();
    assert!(rooms.topics.is_empty());
    bob.send("TELL 1 hello");
    bob.expect("ERR nobody of that name").await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_drains_takes_nothing_more_and_what_comes_is_counted() {
    let (stage, rooms) = staged(SlowConsumer::Disconnect);
    let mut ann = named(&stage, 1).await;
    let (conn, membership) = (rooms.conn(1), rooms.topics.join(b"r", &rooms.conn(1)));
    conn.push("before").unwrap();
    stage.advance(SECOND).await;
    ann.expect("before").await;
    ann.stall();
    conn.push("waits").unwrap();
    stage.advance(SECOND).await;
    let during = async {
        tokio::time::sleep(SECOND).await;
        assert_eq!(conn.push("late"), Err(PushError::Closed));
        assert_eq!(rooms.topics.send(b"r", "late"), Ok(1));
        tokio::time::sleep(SECOND).await;
        ann.resume();
        ann.expect("waits").await;
        ann.expect("going down").await;
    };
    let (outcome, ()) = tokio::join!(stage.drain(), during);
    assert_eq!(outcome, Outcome::Clean);
    assert_eq!(stage.metric("towline_pushes_total{result=\"dropped\"}"), 1.0);
    drop(membership);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_cannot_push_to_itself() {
    let said = Arc::<Mutex<Vec<_>>>::default();
    let heard = said.clone();
    let commands = Router::<Lf, Conn>::new()
        .command("PING", |_: &mut Conn, _: Args<'_>| "PONG")
        .on_close(move |conn: Conn, _: CloseReason| {
            heard.lock().unwrap().push(conn.push("a word to myself"));
        });
    let stage = stage(Server::builder().threads(1).router(commands, |conn| conn));
    let mut ann = stage.connect().await;
    ann.send("PING");
    ann.expect("PONG").await;
    drop(ann);
    stage.advance(SECOND).await;
    assert_eq!(said.lock().unwrap()[..], [Err(PushError::Closed)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_joined_twice_hears_twice_until_it_leaves_once() {
    let (stage, rooms) = staged(SlowConsumer::Disconnect);
    let mut ann = named(&stage, 1).await;
    let (once, twice) =
        (rooms.topics.join(b"r", &rooms.conn(1)), rooms.topics.join(b"r", &rooms.conn(1)));
    assert_eq!(rooms.topics.send(b"r", "hello"), Ok(2));
    ann.expect("hello").await;
    ann.expect("hello").await;
    drop(once);
    assert_eq!(rooms.topics.send(b"r", "again"), Ok(1));
    ann.expect("again").await;
    ann.expect_nothing(SECOND).await;
    drop(twice);
    ann.send("LEAVE r");
    ann.expect("OK").await;
    assert_eq!(rooms.topics.send(b"r", "nobody"), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_million_names_leave_nothing_behind() {
    let (stage, rooms) = staged(SlowConsumer::Disconnect);
    let _ann = named(&stage, 1).await;
    let conn = rooms.conn(1);
    for name in 0..100_000_u32 {
        assert_eq!(rooms.topics.send(&name.to_le_bytes(), "without members"), Ok(0));
        let membership = rooms.topics.join(&name.to_le_bytes(), &conn);
        assert_eq!(rooms.topics.len(), 1);
        drop(membership);
    }
    assert!(rooms.topics.is_empty());
    assert_eq!(stage.metric("towline_groups"), 0.0);
    assert_eq!(stage.metric("towline_group_members"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_never_reads_is_not_read_and_fills_nothing() {
    let rooms = Rooms::new(SlowConsumer::Disconnect);
    let builder = Server::builder().threads(1).output_bytes(1024).write_timeout(None);
    let stage = stage(rooms::server(builder, &rooms));
    let mut member = named(&stage, 1).await;
    let membership = rooms.topics.join(b"r", &rooms.conn(1));
    let mut publisher = stage.connect().await;
    publisher.stall();
    // In pieces, as from a socket: a batch that was read is answered.
    for number in 0..2000 {
        publisher.send(format!("SAY r {number}"));
    }
    stage.advance(SECOND).await;
    assert!(publisher.unsent() > 0, "it is read though it takes no replies");
    member.expect("0").await;
    assert_eq!(stage.metric("towline_connections{state=\"write_wait\"}"), 1.0);
    publisher.resume();
    for number in 1..2000 {
        member.expect(number.to_string()).await;
    }
    drop(membership);
}

#[tokio::test(start_paused = true)]
async fn members_that_are_all_stuck_hold_up_their_senders_for_the_time_of_the_policy() {
    let rooms = Rooms::new(SlowConsumer::Block(5 * SECOND));
    let builder = Server::builder().threads(1).push_connection_bytes(1000).write_timeout(None);
    let stage = stage(rooms::server(builder, &rooms));
    let mut stuck = Vec::new();
    for name in 0..10 {
        let mut member = named(&stage, name).await;
        member.stall();
        let membership = rooms.topics.join(b"r", &rooms.conn(name));
        stuck.push((member, membership));
    }
    let mut sender = stage.connect().await;
    for number in 0..12 {
        sender.send(format!("SAY r {number:0>99}"));
        sender.expect("10").await;
    }
    sender.send("SAY r late");
    sender.expect_nothing(4 * SECOND).await;
    for (mut member, _membership) in stuck {
        assert_eq!(member.is_closed().await, CloseReason::SlowConsumer);
    }
    sender.expect_like("*").await;
    assert_eq!(stage.metric("towline_slow_consumers_total{action=\"closed\"}"), 10.0);
    assert_eq!(stage.metric("towline_push_waiting_bytes"), 0.0);
}

#[test]
fn a_group_whose_server_has_ended_takes_nothing() {
    let topics = Topics::<Lf>::new(SlowConsumer::Disconnect);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let rooms = Rooms { topics: topics.clone(), ..Rooms::new(SlowConsumer::Disconnect) };
    let (conn, membership) = runtime.block_on(async {
        let stage = stage(rooms::server(Server::builder().threads(1), &rooms));
        let _ann = named(&stage, 1).await;
        let conn = rooms.conn(1);
        (conn.clone(), topics.join(b"r", &conn))
    });
    drop(runtime);
    assert_eq!(topics.send(b"r", "hello"), Err(PushError::Closed));
    assert_eq!(conn.push("hello"), Err(PushError::Closed));
    drop(membership);
    assert!(topics.is_empty());
}
