//! TLS that sessions start: the example `smtp`, with clients that others wrote.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/smtp.rs"]
mod smtp;

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use smtp::Mail;
use support::TestServer;
use tokio::sync::mpsc::{Receiver, channel};
use towline::{Server, Tls};
use towline_test_support::{
    PATIENCE, TempFile, require,
    tls::{Authority, Pair},
};

/// A server with STARTTLS, the file of its authority, and what it takes.
fn serve() -> (TestServer, TempFile, Receiver<Mail>) {
    let authority = Authority::new("authority");
    let Pair { cert, key } = authority.sign_names(&["localhost"]);
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let (taken, mails) = channel(1);
    let server = smtp::server(builder.starttls(Tls::pem(cert, key)), taken);
    (TestServer::new(server.start().unwrap()), TempFile::new(authority.pem()), mails)
}

/// Says this in the clear, and returns all that the server says until it closes.
fn in_the_clear(server: &TestServer, said: &str) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(said.as_bytes()).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    String::from_utf8_lossy(&answers).into_owned()
}

#[test]
fn a_hundred_bytes_behind_starttls_are_never_served() {
    let (server, _, mut mails) = serve();
    let ahead = "MAIL FROM:<evil@a>\r\nRCPT TO:<b@c>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n".repeat(2);
    assert!(ahead.len() >= 100);
    for cut in [0, 1, 100] {
        // Also the beginning of a line, and one that looks like the first byte of a handshake.
        let said = format!("EHLO me\r\nSTARTTLS\r\n\u{16}{}", &ahead[cut..]);
        let answers = in_the_clear(&server, &said);
        assert!(answers.contains("250-STARTTLS\r\n250 8BITMIME\r\n"), "{answers}");
        // The reply to the command itself may be on its way before the rest has come.
        let end = "500 malformed: commands behind the one that starts TLS\r\n";
        assert!(answers.ends_with(end) && !answers.contains("250 OK"), "{answers}");
    }
    server.metrics_when(|metrics| {
        metrics.get("towline_connections_closed_total{reason=\"tls_error\"}") == 3.0
    });
    assert!(mails.try_recv().is_err());
}

#[test]
fn openssl_verifies_and_the_session_forgets_what_was_said_in_the_clear() {
    let (server, ca, _mails) = serve();
    let openssl = Command::new("openssl")
        .args([
            "s_client",
            "-starttls",
            "smtp",
            "-quiet",
            "-verify_return_error",
            "-verify_hostname",
        ])
        .args(["localhost", "-servername", "localhost", "-CAfile", ca.name()])
        .args(["-connect", &server.address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Some(mut openssl) = require("openssl", openssl) else { return };
    let mut stdin = openssl.stdin.take().unwrap();
    // It has said EHLO in the clear.
    stdin.write_all(b"MAIL FROM:<a@b>\r\nSTARTTLS\r\nEHLO me\r\nQUIT\r\n").unwrap();
    let output = openssl.wait_with_output().unwrap();
    drop(stdin);
    let said = String::from_utf8_lossy(&output.stdout);
    let expected = "250 OK\r\n500 unknown command\r\n250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n221 bye\r\n";
    assert!(said.ends_with(expected), "{said:?} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mail_that_was_begun_in_the_clear_is_forgotten_under_tls() {
    const CLIENT: &str = "
import smtplib, ssl, sys
smtp = smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60)
smtp.ehlo('me')
assert smtp.mail('evil@a')[0] == 250
smtp._host = 'localhost'
assert smtp.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))[0] == 220
assert smtp.rcpt('b@c')[0] == 503, 'the mail of before is still there'
smtp.ehlo('me')
assert not smtp.has_extn('starttls')
assert smtp.sendmail('a@b', ['c@d'], 'Subject: x\\r\\n\\r\\nunder TLS') == {}
smtp.quit()
print('sent')
";
    let (server, ca, mut mails) = serve();
    let port = server.address.port().to_string();
    let python = Command::new("python3").args(["-c", CLIENT, &port, ca.name()]).output();
    let Some(python) = require("python3", python) else { return };
    let said = String::from_utf8_lossy(&python.stdout);
    assert_eq!(said, "sent\n", "{}", String::from_utf8_lossy(&python.stderr));
    assert!(mails.try_recv().unwrap().text.ends_with(b"under TLS\r\n"));
}

#[test]
fn a_client_that_says_something_else_than_tls_is_told_and_counted() {
    let (server, ..) = serve();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = [0; 256];
    let n = stream.read(&mut said).unwrap();
    assert_eq!(&said[..n], b"220 mx.example ESMTP\r\n");
    stream.write_all(b"STARTTLS\r\n").unwrap();
    let n = stream.read(&mut said).unwrap();
    assert_eq!(&said[..n], b"220 go ahead\r\n");
    stream.write_all(b"EHLO me\r\n").unwrap();
    let mut alert = Vec::new();
    // The alert may be overtaken by the reset.
    let _ = stream.read_to_end(&mut alert);
    server.metrics_when(|metrics| {
        metrics.get("towline_connections_closed_total{reason=\"tls_error\"}") == 1.0
    });
}
