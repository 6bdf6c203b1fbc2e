//! What a server logs of a service's errors. One test, because the subscriber is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use support::{log::Log, serve};
use tokio::time::Instant;
use towline::{BoxError, Lines, service_fn};

/// A service returned `Err`, its client got nothing, and no line of the log named the error at any level: an
/// operator who saw `service_error` in the metrics could not learn why.
#[test]
fn an_error_of_a_service_is_logged_with_its_client_and_at_most_once_a_second() {
    let log = Log::install();
    let service = service_fn(|lines: Lines| async move {
        let line = String::from_utf8_lossy(lines.as_bytes()).into_owned();
        if line.starts_with("fail") {
            Err(BoxError::from(format!("refused {line}")))
        } else {
            Ok(lines)
        }
    });
    let server = serve(service, |_| ());
    let begun = Instant::now();

    let mut first = server.connect();
    first.ask("fine\n", "fine\n");
    first.send("fail \u{1b}[31m\n");
    first.expect_end("");
    // One that has closed its side already, too, has an address.
    let mut others: Vec<_> = (0..9).map(|_| server.connect()).collect();
    for client in &mut others {
        client.send("fail\n");
        client.end_of_input();
        client.expect_end("");
    }

    let logged = log.lines_with("connection closed: its service failed");
    let address = first.local_addr().unwrap();
    assert!(logged[0].contains(&format!("{address}")), "{logged:?}");
    assert!(logged[0].contains("WARN"), "{logged:?}");
    assert!(logged[0].contains("refused fail"), "{logged:?}");
    assert!(!logged[0].contains('\u{1b}'), "the client's bytes are escaped: {logged:?}");
    assert!(!logged.iter().any(|line| line.contains("gone")), "{logged:?}");
    let most = begun.elapsed().as_secs() + 1;
    assert!(logged.len() as u64 <= most, "{} lines in {most} s: {logged:?}", logged.len());
}
