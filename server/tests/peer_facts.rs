//! What services and sessions are told of their peers: by TLS, also from the middle on, by the kernel, and by a load
//! balancer.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
};

use support::TestServer;
use towline::{
    Action, ActionOf, Builder, ConnExt as _, Cx, FrameOf, Peer, Server, Session, Tls, Upgrade,
    protocol::Lf,
};
use towline_test_support::{
    TempFile,
    tls::{Authority, Pair, Subject, TlsClient},
};

/// Says what it knows of its peer, and starts TLS.
struct Who {
    /// What was known at the beginning.
    at_first: String,
}

impl Session for Who {
    type Protocol = Lf;

    fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        match line {
            b"starttls" => cx.secure("go ahead"),
            b"at first" => cx.reply(self.at_first.as_str()),
            _ => {
                let known = describe(&cx.conn().peer());
                cx.reply(known)
            }
        }
    }
}

impl Upgrade for Who {
    fn on_secured(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        self.at_first = describe(&cx.conn().peer());
        Action::Continue
    }
}

/// All that a peer says, without its own port.
fn describe(peer: &Peer) -> String {
    let tls = peer.tls().map(|tls| (tls.version(), tls.server_name().map(str::to_owned)));
    let uris = peer.identity().map(|client| client.uris().to_vec());
    let address = peer.address().map(|address| address.ip());
    let uid = peer.unix_credentials().map(|process| process.uid);
    format!("{address:?} {:?} {tls:?} {uris:?} {uid:?}", peer.local_address())
}

fn builder() -> Builder {
    Server::builder().admin("127.0.0.1:0").threads(1)
}

fn serve(builder: Builder) -> TestServer {
    let make = |conn: towline::Conn<Lf>| Who { at_first: describe(&conn.peer()) };
    TestServer::new(builder.sessions(make).start().unwrap())
}

/// The settings of a server and a client that know each other.
fn devices() -> (Tls, Authority, Pair) {
    let authority = Authority::new("authority");
    let Pair { cert, key } = authority.sign_names(&["localhost"]);
    let tls = Tls::pem(cert, key).clients_of_pem(authority.pem());
    let uris = vec!["spiffe://example/dev7".to_owned()];
    let own = authority.sign(&Subject { common_name: "dev7".into(), uris, ..Subject::default() });
    (tls, authority, own)
}

fn under_tls(server: SocketAddr) -> String {
    format!(
        "Some(127.0.0.1) Some({server}) Some((\"1.3\", Some(\"localhost\"))) \
         Some([\"spiffe://example/dev7\"]) None\n"
    )
}

#[test]
fn a_session_knows_how_its_peer_speaks_tls_and_who_it_is() {
    let (tls, authority, own) = devices();
    let server = serve(builder().listen("127.0.0.1:0").tls(tls));
    let mut client = TlsClient::new(&authority, Some(&own)).connect(server.address);
    let expected = under_tls(server.address);
    client.ask("at first\n", &expected);
    client.ask("now\n", &expected);
}

#[test]
fn after_starttls_a_session_knows_what_it_did_not_know_in_the_clear() {
    let (tls, authority, own) = devices();
    let server = serve(builder().listen("127.0.0.1:0").starttls(tls));
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(b"at first\n").unwrap();
    let mut said = String::new();
    BufReader::new(&socket).read_line(&mut said).unwrap();
    assert_eq!(said, format!("Some(127.0.0.1) Some({}) None None None\n", server.address));
    socket.write_all(b"starttls\n").unwrap();
    let mut go = [0; 9];
    socket.read_exact(&mut go).unwrap();
    assert_eq!(&go, b"go ahead\n");
    let mut client = TlsClient::new(&authority, Some(&own)).begin(socket);
    let expected = under_tls(server.address);
    client.ask("at first\n", &expected);
    client.ask("now\n", &expected);
}

#[test]
fn the_process_behind_a_unix_socket_is_known_and_has_no_address() {
    let path = TempFile::absent();
    let both = format!("127.0.0.1:0,unix:{}", path.name());
    let _server = serve(builder().listen(&both));
    let mut socket = UnixStream::connect(path.path()).unwrap();
    socket.write_all(b"who\n").unwrap();
    let mut said = String::new();
    BufReader::new(&socket).read_line(&mut said).unwrap();
    let own = rustix::process::getuid().as_raw();
    assert_eq!(said, format!("None None None None Some({own})\n"));
}

#[test]
fn behind_a_balancer_the_local_address_is_the_one_that_the_balancer_connected_to() {
    let server = serve(builder().listen("0.0.0.0:0").set(|settings| {
        settings.proxy_protocol.mode = towline::config::ProxyMode::Require;
    }));
    let address = SocketAddr::from(([127, 0, 0, 2], server.address.port()));
    let mut client = towline_test_support::Client::connect(address);
    client.send("PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n");
    client.ask("who\n", format!("Some(192.0.2.1) Some({address}) None None None\n"));
}
