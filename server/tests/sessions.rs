//! Sessions over real sockets: greeting, refusal, last words, and the sums of the metrics.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use support::TestServer;
use towline::{
    Action, ActionOf, Close, CloseReason, Conn, Cx, Deferred, FrameOf, Refused, Server, Session,
    protocol::Lf,
};

/// Sessions opened and closed.
#[derive(Debug, Default, Clone)]
struct Count(Arc<[AtomicU32; 2]>);

impl Count {
    fn get(&self) -> [u32; 2] {
        [0, 1].map(|at| self.0[at].load(SeqCst))
    }
}

struct Talk(Count);

impl Session for Talk {
    type Protocol = Lf;

    fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        self.0.0[0].fetch_add(1, SeqCst);
        let address = cx.conn().address().unwrap();
        cx.reply(format_args!("hello {}", address.ip()))
    }

    fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        match line {
            b"quit" => cx.reply(Close("bye")),
            b"panic" => panic!("as the line said"),
            b"hang" => Action::Deferred(Deferred::new(std::future::pending::<()>())),
            line => cx.reply(line),
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.close("going down")
    }

    fn on_close(self, _: CloseReason) {
        self.0.0[1].fetch_add(1, SeqCst);
    }
}

fn serve(connections: u32) -> (TestServer, Count) {
    let (count, made) = (Count::default(), Count::default());
    let sessions = count.clone();
    let make = move |_: Conn| {
        if made.0[0].fetch_add(1, SeqCst) < connections {
            Ok(Talk(sessions.clone()))
        } else {
            Err(Refused("no more of you"))
        }
    };
    let running = Server::builder()
        .listen("127.0.0.1:0")
        .admin("127.0.0.1:0")
        .threads(1)
        .request_timeout(Duration::from_millis(50))
        .sessions(make)
        .start()
        .unwrap();
    (TestServer::new(running), count)
}

#[test]
fn a_session_greets_and_ends_the_connection_behind_its_last_words() {
    let (server, count) = serve(10);
    let mut client = server.connect();
    client.expect("hello 127.0.0.1\n");
    client.ask("a\n", "a\n");
    client.send("b\nquit\nc\n");
    client.expect_end("b\nbye\n");
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("service_close"), 1.0);
    assert_eq!(count.get(), [1, 1]);
    metrics.assert_connections_add_up();
}

#[test]
fn a_connection_without_a_session_is_told_why() {
    let (server, count) = serve(0);
    server.connect().expect_end("ERR no more of you\n");
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("service_close"), 1.0);
    assert_eq!(count.get(), [0, 0]);
}

#[test]
fn a_reply_that_is_late_is_a_timeout_of_its_line_and_a_panic_ends_its_connection_alone() {
    let (server, count) = serve(10);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.expect("hello 127.0.0.1\n");
    other.expect("hello 127.0.0.1\n");
    client.send("a\nhang\nb\n");
    client.expect("a\nERR timeout\nb\n");
    client.send("panic\n");
    client.expect_end("");
    other.ask("still here\n", "still here\n");
    drop(other);
    let metrics = server.metrics_when_empty();
    assert_eq!((metrics.closed("service_panic"), metrics.closed("peer_eof")), (1.0, 1.0));
    assert_eq!(metrics.get("towline_lines_received_total"), 5.0);
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"timeout\"}"), 1.0);
    assert_eq!(count.get(), [2, 2]);
    metrics.assert_connections_add_up();
}

#[test]
fn a_drain_lets_every_session_say_last_words() {
    let (server, count) = serve(10);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.expect("hello 127.0.0.1\n");
        client.ask("a\n", "a\n");
    }
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| std::thread::spawn(move || client.expect_end("going down\n")))
        .collect();
    server.drain();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(count.get(), [5, 5]);
}
