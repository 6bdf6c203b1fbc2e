//! A service for each line, in a layer of Tower's own.
//!
//! ```text
//! $ cargo run -p towline --example upper &
//! $ printf 'shout\nlouder\nslow\n' | nc -q2 127.0.0.1 9000
//! SHOUT
//! LOUDER
//! ERR timeout
//! ```

use std::{env, time::Duration};

use towline::{BoxError, EachLine, Line, RunError, Server, ServiceBuilder, service_fn};

/// How long a line may take.
pub const LINE_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    // Around a line, so that one slow line does not fail the others of its batch.
    let line = ServiceBuilder::new()
        .map_result(timeout_is_a_reply)
        .timeout(LINE_TIMEOUT)
        .service(service_fn(upper));
    Server::builder().listen(&address).serve(EachLine::new(line)).run().map(drop)
}

/// What is done with a line.
///
/// # Errors
/// Never: the type is what Tower's layers turn errors into.
pub async fn upper(line: Line) -> Result<Vec<u8>, BoxError> {
    if &line[..] == b"slow" {
        tokio::time::sleep(10 * LINE_TIMEOUT).await;
    }
    Ok(line.to_ascii_uppercase())
}

/// Errors that the peer should hear of become replies here; others would end its connection.
///
/// # Errors
/// Those that are no timeout.
pub fn timeout_is_a_reply(result: Result<Vec<u8>, BoxError>) -> Result<Vec<u8>, BoxError> {
    match result {
        Err(error) if error.is::<tower::timeout::error::Elapsed>() => Ok(b"ERR timeout".into()),
        other => other,
    }
}
