//! Certificates in files that change while a program serves.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{net::SocketAddr, time::Duration};

use support::TestServer;
use tokio::{net::TcpListener, task::spawn_blocking, time::sleep};
use towline::{Server, Tls};
use towline_test_support::{
    TempFile,
    tls::{Authority, Pair, TlsClient},
    wait_until,
};

/// A certificate and its key in files.
struct Files {
    authority: Authority,
    cert: TempFile,
    key: TempFile,
}

impl Files {
    fn new() -> Self {
        let authority = Authority::new("authority");
        let pair = authority.sign_names(&["localhost"]);
        Self { authority, cert: TempFile::new(&pair.cert), key: TempFile::new(&pair.key) }
    }

    fn tls(&self) -> Tls {
        Tls::files(self.cert.path(), self.key.path())
    }

    fn next(&self) -> Pair {
        self.authority.sign_names(&["localhost"])
    }

    fn write(&self, pair: &Pair) {
        self.cert.write(&pair.cert);
        self.key.write(&pair.key);
    }

    fn client(&self) -> TlsClient {
        TlsClient::new(&self.authority, None)
    }
}

/// The certificate that a server shows.
fn shown(client: &TlsClient, server: SocketAddr) -> Vec<u8> {
    client.connect(server).0.conn.peer_certificates().unwrap()[0].to_vec()
}

/// Only the program read its files again when they changed. A program of the library served its certificate until it
/// had expired.
#[test]
fn a_server_with_threads_takes_over_a_changed_pair_and_keeps_it_while_the_next_is_wrong() {
    let files = Files::new();
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(2);
    let server = builder.tls(files.tls()).serve(support::echo_service()).start().unwrap();
    let server = TestServer::new(server);
    let client = files.client();
    let first = shown(&client, server.address);
    let mut open = client.connect(server.address);
    // A certificate without its key, as in the middle of a replacement.
    let next = files.next();
    files.cert.write(&next.cert);
    server.metrics_when(|metrics| metrics.get("towline_tls_last_reload_successful") == 0.0);
    assert_eq!(shown(&client, server.address), first);
    files.key.write(&next.key);
    server.metrics_when(|metrics| {
        metrics.get("towline_tls_reloads_total{result=\"ok\"}") == 1.0
            && metrics.get("towline_tls_last_reload_successful") == 1.0
    });
    // Each thread takes it over by itself.
    wait_until("another certificate is shown", || shown(&client, server.address) != first);
    open.ask("still open\n", "still open\n");
}

/// Serves in the runtime of the test, whose clock goes as fast as nothing happens, and returns whether another
/// certificate is shown a while after the files have changed.
async fn is_taken_over(tls: impl Fn(Tls) -> Tls) -> bool {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().tls(tls(files.tls())).serve(support::echo_service());
    let serving = tokio::spawn(server.run_on(listener));
    let client = files.client();
    let show = || {
        let client = client.clone();
        async move { spawn_blocking(move || shown(&client, address)).await.unwrap() }
    };
    let first = show().await;
    files.write(&files.next());
    sleep(Duration::from_secs(60)).await;
    let later = show().await;
    serving.abort();
    first != later
}

#[tokio::test(start_paused = true)]
async fn a_server_in_the_runtime_of_a_program_takes_over_a_changed_pair() {
    assert!(is_taken_over(|tls| tls).await);
}

#[tokio::test(start_paused = true)]
async fn a_program_may_have_its_files_read_once() {
    assert!(!is_taken_over(Tls::read_once).await);
}
