//! Lines and their replies: framing, limits, order, flush policies, bytes of every kind.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{num::NonZeroU32, thread};

use support::{TestServer, echo, serve};
use towline::{BoxError, ServiceBuilder, Settings};
use towline_config::{FlushPolicy, Framing};
use towline_middleware::{DigestMode, Echo, Sha256Layer, stats::Stats};

const LINE_TOO_LONG: &str = "ERR line too long\n";

fn framing_lines(settings: &mut Settings) {
    settings.workload.framing = Framing::Lines;
}

fn line_limit(bytes: usize) -> impl FnOnce(&mut Settings) {
    move |settings| settings.limits.line_bytes = bytes
}

fn both_framings(check: impl Fn(Framing)) {
    check(Framing::Batch);
    check(Framing::Lines);
}

fn sha256(digest: DigestMode) -> TestServer {
    let layer = Sha256Layer::new(digest, Stats::unobserved());
    serve(ServiceBuilder::new().layer(layer).service(Echo), |_| ())
}

/// The article's server wrote after every tenth line and held back up to nine replies until more lines
/// came: a client that sends nine lines and waits for nine replies waited for ever.
#[test]
fn nine_lines_get_nine_replies_under_every_flush_policy() {
    let every = |lines| FlushPolicy::Every(NonZeroU32::new(lines).unwrap());
    let policies =
        [FlushPolicy::Auto, FlushPolicy::Line, every(2), every(9), every(10), every(1000)];
    for policy in policies {
        both_framings(|framing| {
            let server = echo(|settings| {
                settings.flush.policy = policy;
                settings.workload.framing = framing;
            });
            let mut client = server.connect();
            for round in 0..3 {
                let nine: String = (0..9).map(|line| format!("{round} {line}\n")).collect();
                client.ask(&nine, &nine);
            }
            // One at a time, as a ping-pong client does.
            for _ in 0..3 {
                client.ask("one\n", "one\n");
            }
        });
    }
}

#[test]
fn replies_come_in_order_wherever_a_read_ends() {
    both_framings(|framing| {
        let server = echo(|settings| settings.workload.framing = framing);
        let text = "first\n\nthird line\n\nfifth\n";
        for cut in 1..text.len() {
            let mut client = server.connect();
            client.send(&text[..cut]);
            // Complete lines are answered before the rest is sent.
            let whole = text[..cut].rfind('\n').map_or(0, |at| at + 1);
            client.expect(&text[..whole]);
            client.send(&text[cut..]);
            client.end_of_input();
            client.expect_end(&text[whole..]);
        }
    });
}

#[test]
fn sha256_replies_with_the_digest_of_the_line_without_its_terminator() {
    let server = sha256(DigestMode::Reply);
    let mut client = server.connect();
    client.ask("abc\n", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
    client.ask("\n", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
    // In batch framing the carriage return is a byte of the line like any other.
    client.ask("abc\r\n", "e2af64b38bbaf25b74d1e999d27370bde03f62b612f43a3f8f548287079ef77e\n");
}

#[test]
fn sha256_with_the_digest_discarded_replies_with_the_line() {
    sha256(DigestMode::Discard).connect().ask("abc\nx\r\n", "abc\nx\r\n");
}

#[test]
fn fault_19_batch_framing_passes_every_byte_but_the_newline_unchanged() {
    let server = echo(|_| ());
    let mut client = server.connect();
    let every_byte: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').chain([b'\n']).collect();
    client.ask(&every_byte, &every_byte);
    let odd =
        b"\xff\xfe\n\0\n\xc0\xaf\n\xed\xa0\x80\n\x85\n\xe2\x80\xa8\n\r\n\r\r\n\n\n\xef\xbb\xbf\n";
    client.ask(odd, odd);
    assert_eq!(server.metrics().get("towline_lines_received_total"), 12.0);
}

#[test]
fn fault_19_lines_framing_strips_one_carriage_return_and_closes_on_what_is_not_utf8() {
    let server = echo(framing_lines);
    let mut client = server.connect();
    client.ask("a\r\nb\r\r\n\r\n\0\nä\u{2028}\n", "a\nb\r\n\n\0\nä\u{2028}\n");
    // The lines before it are answered, and it gets no reply.
    client.send(b"good\nbad \xff\nnever\n");
    client.expect_end("good\n");
    drop(client);
    assert_eq!(server.metrics_when_empty().closed("invalid_utf8"), 1.0);
}

/// A load balancer and a server that disagree on whether `\r` ends a line disagree on where lines end.
/// Here only `\n` ends one, and `workload.framing` decides whether a `\r` before it is stripped.
#[test]
fn fault_20_a_carriage_return_ends_no_line_and_is_stripped_in_lines_framing_only() {
    // Sent bytes, replies in batch framing, replies in lines framing, number of lines.
    let table = [
        ("a\r\n", "a\r\n", "a\n", 1),
        ("a\r\r\n", "a\r\r\n", "a\r\n", 1),
        ("\r\n", "\r\n", "\n", 1),
        ("a\rb\n", "a\rb\n", "a\rb\n", 1),
        ("a\n\r\nb\n", "a\n\r\nb\n", "a\n\nb\n", 3),
        ("a\n\rb\n", "a\n\rb\n", "a\n\rb\n", 2),
        (
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\nhost: a\n\n",
            3,
        ),
    ];
    both_framings(|framing| {
        for (sent, batch, lines, count) in table {
            let server = echo(|settings| settings.workload.framing = framing);
            let expected = if framing == Framing::Batch { batch } else { lines };
            for cut in 0..=sent.len() {
                let mut client = server.connect();
                client.send(&sent[..cut]);
                thread::yield_now();
                client.send(&sent[cut..]);
                client.end_of_input();
                client.expect_end(expected);
            }
            let received = server.metrics_when_empty().get("towline_lines_received_total");
            assert_eq!(received, (count * (sent.len() + 1)) as f64, "{sent:?} in {framing:?}");
        }
    });
}

#[test]
fn fault_04_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    both_framings(|framing| {
        let server = echo(|settings| {
            settings.limits.line_bytes = 10;
            settings.workload.framing = framing;
        });
        server.connect().ask("0123456789\n", "0123456789\n");
        for too_long in ["0123456789a\n", "0123456789a", "0123456789\r\n"] {
            let mut client = server.connect();
            client.send("before\n");
            client.send(too_long);
            client.expect_end(["before\n", LINE_TOO_LONG].concat());
        }
        assert_eq!(server.metrics_when_empty().closed("line_too_long"), 3.0);
    });
}

#[test]
fn fault_04_where_a_read_ends_makes_no_difference_to_the_limit() {
    both_framings(|framing| {
        let server = echo(|settings| {
            settings.limits.line_bytes = 4;
            settings.workload.framing = framing;
        });
        let text = "1234\n\n12345\n12\n";
        for cut in 0..text.len() {
            let mut client = server.connect();
            client.send(&text[..cut]);
            thread::yield_now();
            // The server may have closed already.
            let _ = client.try_send(&text[cut..]);
            client.expect_end(["1234\n\n", LINE_TOO_LONG].concat());
        }
    });
}

#[test]
fn earlier_lines_of_the_same_read_are_answered_before_the_line_that_is_too_long() {
    let server = echo(line_limit(8));
    let mut client = server.connect();
    client.send("a\nbb\n123456789\nccc\n");
    client.expect_end(["a\nbb\n", LINE_TOO_LONG].concat());
}

#[test]
fn a_line_of_the_default_limit_passes_through_whole() {
    let server = echo(|_| ());
    let mut client = server.connect();
    let long = ["x".repeat(64 * 1024).as_str(), "\n"].concat();
    client.ask(&long, &long);
    client.ask("and on\n", "and on\n");
}

#[test]
fn fault_05_half_a_line_at_the_end_of_input_is_dropped_and_counted() {
    let server = echo(|_| ());
    let mut client = server.connect();
    client.send("whole\nhalf");
    client.end_of_input();
    client.expect_end("whole\n");
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get("towline_lines_unterminated_total"), 1.0);
    assert_eq!(metrics.get("towline_lines_received_total"), 1.0);
    assert_eq!(metrics.closed("peer_eof"), 1.0);
}

#[test]
fn fault_05_in_lines_framing_half_a_line_at_the_end_of_input_is_a_line() {
    let server = echo(framing_lines);
    let mut client = server.connect();
    client.send("whole\nhalf");
    client.end_of_input();
    client.expect_end("whole\nhalf\n");
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get("towline_lines_unterminated_total"), 0.0);
    assert_eq!(metrics.get("towline_lines_received_total"), 2.0);
}

#[test]
fn fault_10_a_client_that_half_closes_gets_every_reply() {
    let server = echo(|_| ());
    let mut client = server.connect();
    let many: String = (0..50_000).map(|line| format!("{line}\n")).collect();
    let sender = {
        let mut stream = client.try_clone().unwrap();
        let many = many.clone();
        thread::spawn(move || {
            use std::io::Write as _;
            stream.write_all(many.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        })
    };
    client.expect_end(&many);
    sender.join().unwrap();
}

#[test]
fn a_service_may_answer_with_more_lines_or_fewer() {
    let service = towline::service_fn(|lines: towline::Lines| async move {
        let bytes = lines.iter().map(<[u8]>::len).sum();
        Ok::<_, BoxError>(towline::Lines::from_iter(std::iter::repeat_n("x", bytes)))
    });
    let server = serve(service, |_| ());
    let mut client = server.connect();
    client.ask("three\n", "x\nx\nx\nx\nx\n");
    client.send("\n");
    client.ask("1\n", "x\n");
}
