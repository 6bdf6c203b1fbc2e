//! Errors of services, handed to the program.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use support::TestServer;
use towline::{
    Action, ActionOf, BoxError, Builder, Cx, FrameOf, Lines, Peer, ReplyStream, Server, Session,
    protocol::Lf, service_fn,
};
use towline_test_support::{Client, wait_until};

/// A client and the words of an error.
type Call = (Option<SocketAddr>, String);

/// What the hook was called with.
#[derive(Debug, Clone, Default)]
struct Errors(Arc<Mutex<Vec<Call>>>);

impl Errors {
    fn hook(&self) -> impl Fn(Option<Peer>, &BoxError) + Send + Sync + 'static {
        let errors = self.0.clone();
        move |peer, error| {
            let peer = peer.and_then(|peer| peer.address());
            errors.lock().unwrap().push((peer, error.to_string()));
        }
    }

    #[track_caller]
    fn expect(&self, expected: &[(SocketAddr, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(peer, error)| (Some(*peer), (*error).to_owned())).collect();
        wait_until("the errors", || *self.0.lock().unwrap() == expected);
    }
}

fn builder() -> Builder {
    Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1)
}

async fn fail(lines: Lines) -> Result<Lines, BoxError> {
    if lines.as_bytes().starts_with(b"fail") {
        return Err(format!("refused {} bytes", lines.as_bytes().len()).into());
    }
    Ok(lines)
}

/// A program learned of the errors of its services from the log alone, which has one per second.
#[test]
fn every_error_of_a_service_is_handed_to_the_program_with_its_peer() {
    let errors = Errors::default();
    let server = builder().on_service_error(errors.hook()).serve(service_fn(fail));
    let server = TestServer::new(server.start().unwrap());
    let mut clients = [server.connect(), server.connect(), server.connect()];
    let mut expected = Vec::new();
    for client in &mut clients {
        client.ask("fine\n", "fine\n");
        client.send("fail\n");
        client.expect_end("");
        expected.push((client.local_addr().unwrap(), "refused 5 bytes"));
        errors.expect(&expected);
    }
}

#[test]
fn an_error_of_a_stream_of_replies_is_handed_over_behind_its_parts() {
    struct Parts;
    impl Session for Parts {
        type Protocol = Lf;

        fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            let parts = [Ok("one\n".into()), Err("the source is gone")];
            Action::ReplyStream(ReplyStream::new(futures_util::stream::iter(parts)))
        }
    }
    let errors = Errors::default();
    let server = builder().on_service_error(errors.hook()).sessions(|_conn| Parts);
    let server = TestServer::new(server.start().unwrap());
    let mut client = server.connect();
    client.send("a\n");
    client.expect_end("one\n");
    errors.expect(&[(client.local_addr().unwrap(), "the source is gone")]);
}

#[test]
fn a_panic_of_the_hook_ends_no_thread_and_its_connection_in_order() {
    let server = builder()
        .on_service_error(|_, _| panic!("a bug in the hook"))
        .serve(service_fn(fail))
        .start();
    let server = TestServer::new(server.unwrap());
    let mut other = server.connect();
    other.ask("a\n", "a\n");
    let mut client = server.connect();
    client.ask("fine\n", "fine\n");
    client.send("fail\n");
    client.expect_end("");
    drop(client);
    other.ask("b\n", "b\n");
    drop(other);
    let metrics = server.metrics_when_empty();
    assert_eq!((metrics.closed("service_error"), metrics.closed("service_panic")), (1.0, 0.0));
}

#[test]
fn a_server_in_the_program_s_runtime_hands_errors_over_too() {
    let errors = Errors::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().on_service_error(errors.hook()).serve(service_fn(fail));
    runtime.spawn(server.run_on(listener));
    let mut client = Client::connect(address);
    client.send("fail\n");
    client.expect_end("");
    errors.expect(&[(client.local_addr().unwrap(), "refused 5 bytes")]);
}
