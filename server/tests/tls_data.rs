//! Data over TLS: many records, reads that are too short for one, clients that do not read, new keys.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{self, Read as _, Write as _};

use rustls::version::{TLS12, TLS13};
use support::TestServer;
use towline::{Server, Settings, Tls};
use towline_test_support::tls::{Authority, TlsClient, TlsStream};

fn serve() -> (Authority, TestServer) {
    let authority = Authority::new("authority");
    let pair = authority.sign_names(&["localhost"]);
    let mut settings = Settings::default();
    settings.server.threads = 1.try_into().ok();
    settings.heartbeat = towline::Heartbeat::off();
    let server = Server::builder().settings(settings).tls(Tls::pem(pair.cert, pair.key));
    let server = server.listen("127.0.0.1:0").admin("127.0.0.1:0");
    (authority, TestServer::new(server.serve(support::echo_service()).start().unwrap()))
}

/// Lines of all lengths, each of them another.
fn lines(bytes: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes);
    for number in 0_usize.. {
        if all.len() >= bytes {
            break;
        }
        all.extend_from_slice(number.to_string().repeat(1 + number % 50).as_bytes());
        all.push(b'\n');
    }
    all
}

/// Sends as much as the sockets take before anything is read, and then reads a little at a time.
fn exchange_without_reading_first(stream: &mut TlsStream, sent: &[u8]) -> Vec<u8> {
    let (tls, socket) = (&mut stream.0.conn, &mut stream.0.sock);
    tls.set_buffer_limit(None);
    tls.writer().write_all(sent).unwrap();
    let (mut received, mut block) = (Vec::new(), [0; 7000]);
    while received.len() < sent.len() {
        socket.set_nonblocking(true).unwrap();
        while tls.wants_write() {
            match tls.write_tls(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                written => assert_ne!(written.unwrap(), 0),
            }
        }
        socket.set_nonblocking(false).unwrap();
        assert_ne!(tls.read_tls(socket).unwrap(), 0, "after {} bytes", received.len());
        tls.process_new_packets().unwrap();
        while let Ok(read) = tls.reader().read(&mut block)
            && read > 0
        {
            received.extend_from_slice(&block[..read]);
        }
    }
    received
}

#[test]
fn a_flood_comes_back_as_it_was_sent_when_the_client_reads_late() {
    let (authority, server) = serve();
    let sent = lines(3 << 20);
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::with_versions(&authority, None, &[version]);
        let mut stream = client.connect(server.address);
        // A line at a time first: then the server reads less than a record.
        (0..3).for_each(|_| stream.ask("short\n", "short\n"));
        let received = exchange_without_reading_first(&mut stream, &sent);
        assert!(received == sent, "{version:?}");
        stream.ask("after\n", "after\n");
        stream.close_notify();
        stream.expect_end("");
    }
}

#[test]
fn a_record_may_come_in_parts_and_a_segment_may_have_many_records() {
    let (authority, server) = serve();
    let mut stream = TlsClient::new(&authority, None).connect(server.address);
    let mut records = Vec::new();
    for line in ["one\n", "two", "\nthree\n", &"x".repeat(9000), "\n"] {
        stream.0.conn.writer().write_all(line.as_bytes()).unwrap();
        stream.0.conn.write_tls(&mut records).unwrap();
    }
    // All but the last byte: nothing of the last record may be taken.
    let (last, first) = records.split_last().unwrap();
    for part in first.chunks(1000) {
        stream.0.sock.write_all(part).unwrap();
    }
    stream.expect("one\ntwo\nthree\n");
    stream.0.sock.write_all(&[*last]).unwrap();
    stream.expect("x".repeat(9000) + "\n");
    // The header alone, and then a byte at a time.
    let mut record = Vec::new();
    stream.0.conn.writer().write_all(b"bytes\n").unwrap();
    stream.0.conn.write_tls(&mut record).unwrap();
    for byte in record {
        stream.0.sock.write_all(&[byte]).unwrap();
    }
    stream.expect("bytes\n");
}

#[test]
fn a_client_may_replace_its_keys_between_two_lines() {
    let (authority, server) = serve();
    let mut stream = TlsClient::with_versions(&authority, None, &[&TLS13]).connect(server.address);
    for _ in 0..3 {
        stream.ask("a\n", "a\n");
        stream.0.conn.refresh_traffic_keys().unwrap();
    }
    stream.ask("b\n", "b\n");
}

/// A ticket is written with the first data. A server that said nothing to its client gives it with the end.
#[test]
fn a_client_that_sent_no_line_has_a_ticket_too() {
    let (authority, server) = serve();
    let client = TlsClient::with_versions(&authority, None, &[&TLS13]);
    for resumed in [false, true] {
        let mut stream = client.connect(server.address);
        stream.close_notify();
        stream.expect_end("");
        assert_eq!(stream.is_resumed(), resumed);
    }
}
