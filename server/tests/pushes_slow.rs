//! Members of groups that take their messages too slowly, by each policy.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/rooms.rs"]
mod rooms;

use std::time::Duration;

use rooms::Rooms;
use towline::{
    CloseReason, Membership, PushError, Server, SlowConsumer,
    test::{Client, Stage, stage},
};

const SECOND: Duration = Duration::from_secs(1);

/// What may wait for a connection here.
const BYTES_MAX: usize = 4096;

/// The message number `number`: 100 bytes with its newline, so that 40 may wait.
fn message(number: usize) -> String {
    format!("{number:0>99}")
}

struct Slow {
    stage: Stage,
    rooms: Rooms,
    /// A member that takes nothing.
    member: Client,
    _membership: Membership,
    /// Not a member.
    sender: Client,
}

impl Slow {
    async fn new(slow: SlowConsumer) -> Self {
        let rooms = Rooms::new(slow);
        let builder = Server::builder().threads(1).push_connection_bytes(BYTES_MAX);
        let stage = stage(rooms::server(builder, &rooms));
        let (mut member, sender) = (stage.connect().await, stage.connect().await);
        member.send("NAME 1");
        member.expect("OK").await;
        member.stall();
        let membership = rooms.topics.join(b"r", &rooms.conn(1));
        Self { stage, rooms, member, _membership: membership, sender }
    }

    /// Says the messages of these numbers, each when the one before it was given.
    async fn say(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.sender.send(format!("SAY r {}", message(number)));
            self.sender.expect("1").await;
        }
    }

    fn metric(&self, series: &str) -> usize {
        self.stage.metric(series) as usize
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_messages_are_left_out_whole_and_counted() {
    let mut slow = Slow::new(SlowConsumer::DropOldest).await;
    slow.say(0..100).await;
    assert_eq!(slow.metric("towline_pushes_total{result=\"dropped\"}"), 60);
    assert_eq!(slow.metric("towline_push_waiting_bytes"), 4000);
    slow.member.resume();
    for number in 60..100 {
        slow.member.expect(message(number)).await;
    }
    assert_eq!(slow.metric("towline_pushes_total{result=\"sent\"}"), 40);
    assert_eq!(slow.metric("towline_slow_consumers_total{action=\"dropped\"}"), 60);
    assert_eq!(slow.metric("towline_push_waiting_bytes"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_newest_messages_are_left_out_until_there_is_room() {
    let mut slow = Slow::new(SlowConsumer::DropNewest).await;
    slow.say(0..100).await;
    slow.member.resume();
    for number in 0..40 {
        slow.member.expect(message(number)).await;
    }
    slow.say(100..101).await;
    slow.member.expect(message(100)).await;
    assert_eq!(slow.metric("towline_pushes_total{result=\"dropped\"}"), 60);
}

#[tokio::test(start_paused = true)]
async fn senders_are_not_read_on_until_the_member_has_taken_half() {
    let mut slow = Slow::new(SlowConsumer::Block(5 * SECOND)).await;
    // What fills the member is the 41st. The next one finds that, and is the last that is read.
    slow.say(0..42).await;
    slow.sender.send(format!("SAY r {}", message(42)));
    slow.sender.expect_nothing(SECOND).await;
    assert_eq!(slow.metric("towline_connections{state=\"push_wait\"}"), 1);
    assert_eq!(slow.metric("towline_slow_consumers_total{action=\"waited\"}"), 1);
    slow.member.resume();
    for number in 0..43 {
        slow.member.expect(message(number)).await;
    }
    slow.sender.expect("1").await;
    assert_eq!(slow.metric("towline_connections{state=\"push_wait\"}"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_blocks_for_too_long_is_closed_and_its_senders_go_on() {
    let mut slow = Slow::new(SlowConsumer::Block(5 * SECOND)).await;
    slow.say(0..42).await;
    slow.sender.send("SAY r late");
    slow.sender.expect_nothing(4 * SECOND).await;
    assert_eq!(slow.member.is_closed().await, CloseReason::SlowConsumer);
    slow.sender.expect("1").await;
    assert_eq!(slow.metric("towline_push_waiting_bytes"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_from_elsewhere_is_bounded_though_it_does_not_wait() {
    let slow = Slow::new(SlowConsumer::Block(5 * SECOND)).await;
    let room = slow.rooms.topics.get(b"r").unwrap();
    for number in 0..100 {
        room.send(message(number)).unwrap();
        slow.stage.advance(Duration::from_millis(1)).await;
    }
    let mut member = slow.member;
    assert_eq!(member.is_closed().await, CloseReason::SlowConsumer);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_can_never_be_delivered_is_refused() {
    let mut slow = Slow::new(SlowConsumer::Disconnect).await;
    slow.sender.send(format!("SAY r {:0>4096}", 1));
    slow.sender.expect("ERR message too long").await;
    let sent = slow.rooms.conn(1).push("0".repeat(BYTES_MAX));
    assert_eq!(sent, Err(PushError::TooLong { bytes: BYTES_MAX + 1, limit_bytes: BYTES_MAX }));
    assert_eq!(slow.metric("towline_pushes_total{result=\"refused\"}"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_direct_message_waits_for_room_if_its_sender_says_so() {
    let mut slow = Slow::new(SlowConsumer::Disconnect).await;
    let conn = slow.rooms.conn(1);
    for number in 0..40 {
        conn.push(message(number)).unwrap();
    }
    assert_eq!(conn.push(message(40)), Err(PushError::Full));
    assert_eq!(conn.waiting_bytes(), 4000);
    let sends = tokio::spawn(conn.send(message(40)));
    slow.stage.advance(SECOND).await;
    assert!(!sends.is_finished());
    slow.member.resume();
    for number in 0..41 {
        slow.member.expect(message(number)).await;
    }
    sends.await.unwrap().unwrap();
    assert_eq!(conn.waiting_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_hears_nothing_more_of_what_waited() {
    let mut slow = Slow::new(SlowConsumer::Disconnect).await;
    slow.say(0..10).await;
    slow.rooms.conn(1).push("for you alone").unwrap();
    let Slow { stage, mut member, _membership, .. } = slow;
    stage.advance(SECOND).await;
    drop(_membership);
    member.resume();
    member.expect("for you alone").await;
    assert_eq!(stage.metric("towline_pushes_total{result=\"dropped\"}"), 10.0);
    assert_eq!(stage.metric("towline_push_waiting_bytes"), 0.0);
}

/// A burst is one round, and the round was longer than what may wait: members that had taken everything before were
/// closed, and under `DropOldest` lost all of it.
#[tokio::test(start_paused = true)]
async fn a_burst_longer_than_the_limit_closes_no_member_that_keeps_up() {
    for policy in [SlowConsumer::Disconnect, SlowConsumer::DropOldest] {
        let mut slow = Slow::new(policy).await;
        slow.member.resume();
        let room = slow.rooms.topics.get(b"r").unwrap();
        for number in 0..60 {
            room.send(message(number)).unwrap();
        }
        for number in 0..60 {
            slow.member.expect(message(number)).await;
        }
        assert_eq!(slow.metric("towline_pushes_total{result=\"dropped\"}"), 0, "{policy:?}");
    }
}
