//! Pushes in every interleaving and memory order that the language allows: see `loom.rs`.
//!
//! ```text
//! RUSTFLAGS="--cfg towline_loom" \
//!     cargo test --profile fast -p towline-middleware --test loom_push
//! ```

#![cfg(towline_loom)]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use loom::{future::block_on, thread};
use towline_middleware::{
    ConcurrencyLimitLayer, Semaphore, TimeoutLayer,
    protocol::Lf,
    push::{Conn, Group, NextMail, PushShard, SlowConsumer},
    serve::Respond,
    session::{ActionOf, Cx, FrameOf, Session, SessionResponder, SessionStack},
    stats::{CloseReason, PushSnapshot, Stats},
};

struct Silent;

impl Session for Silent {
    type Protocol = Lf;

    fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.reply(())
    }
}

/// All interleavings of three threads are too many: those with two preemptions.
fn model_with_two_preemptions(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// A shard and one connection on it.
struct Model {
    stats: Arc<Stats>,
    pushes: PushShard,
    conn: Conn<Lf>,
    responder: SessionResponder<Silent>,
}

impl Model {
    fn new() -> Self {
        let stats = Arc::new(Stats::new(tokio::time::Instant::now()));
        let pushes = PushShard::new(stats.clone());
        pushes.export();
        let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(1)));
        let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(None), &limit);
        let stack = stack.pushes(pushes.clone());
        let conn = stack.conn(None);
        let responder = SessionResponder::new(Silent, conn.clone(), stack);
        Self { stats, pushes, conn, responder }
    }
}

/// Runs the fan-out task until `done`. A wake-up that is lost is a deadlock, which the checker reports.
fn fan_out(pushes: PushShard, stats: &Stats, done: impl Fn(&PushSnapshot) -> bool) {
    let mut run = pin!(pushes.run());
    block_on(poll_fn(|cx| {
        assert!(run.as_mut().poll(cx).is_pending());
        if done(&stats.pushes().unwrap()) { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// Takes mail as the loop of a connection does, until `bytes` have come.
fn take(responder: &mut SessionResponder<Silent>, bytes: usize) {
    let mut taken = 0;
    block_on(poll_fn(|cx| {
        let recipient = responder.recipient().unwrap();
        while let NextMail::Write(mail) = recipient.next_mail() {
            taken += mail.len();
            assert!(!recipient.advance_mail(mail.len()));
        }
        if taken == bytes {
            return Poll::Ready(());
        }
        // As the loop parks: the flag, the waker if it is another, the flag again.
        if recipient.has_mail() || responder.register_mail(cx) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }));
}

#[test]
fn a_message_wakes_the_fan_out_task_and_that_wakes_the_connection() {
    model_with_two_preemptions(|| {
        let Model { stats, pushes, conn, mut responder } = Model::new();
        let handle = conn.clone();
        let sends = thread::spawn(move || {
            conn.push("a").unwrap();
            conn.push("b").unwrap();
        });
        let receives = thread::spawn(move || {
            take(&mut responder, 4);
            // Wakes the fan-out task, which ends then.
            handle.close();
            responder
        });
        fan_out(pushes, &stats, |pushed| pushed.sent == 2);
        sends.join().unwrap();
        let responder = receives.join().unwrap();
        drop(responder);
        let left = stats.pushes().unwrap();
        assert_eq!((left.waiting_bytes, left.waiting_connections), (0, 0));
    });
}

#[test]
fn a_message_to_a_connection_that_ends_is_given_or_dropped_and_frees_its_memory() {
    model_with_two_preemptions(|| {
        let Model { stats, pushes, conn, mut responder } = Model::new();
        let group = Group::<Lf>::new(SlowConsumer::Disconnect);
        let membership = group.join(&conn);
        let sends = thread::spawn(move || {
            let members = group.send("a").unwrap();
            drop(membership);
            members
        });
        let ends = thread::spawn(move || responder.close(CloseReason::PeerEof));
        fan_out(pushes, &stats, |pushed| pushed.rounds == 1);
        assert_eq!(sends.join().unwrap(), 1);
        ends.join().unwrap();
        let left = stats.pushes().unwrap();
        assert_eq!((left.waiting_bytes, left.waiting_connections, left.group_members), (0, 0, 0));
    });
}
