//! A service of single lines, in a layer of Tower's.
//!
//! ```text
//! $ cargo run -p towline --example upper &
//! $ printf 'shout\nlouder\nslow\n' | nc -q2 127.0.0.1 9000
//! SHOUT
//! LOUDER
//! ERR timeout
//! ```

use std::{env, time::Duration};

use tower::timeout::error::Elapsed;
use towline::{BoxError, Builder, EachLine, Line, RunError, Server, ServiceBuilder, service_fn};

/// Time that one line may take.
const LINE_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address)).run()?;
    Ok(())
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    // Around the line and not around the batch, so that one slow line fails alone.
    let line = ServiceBuilder::new()
        .map_result(timeout_is_a_reply)
        .timeout(LINE_TIMEOUT)
        .service(service_fn(upper));
    builder.serve(EachLine::new(line))
}

async fn upper(line: Line) -> Result<Vec<u8>, BoxError> {
    if &line[..] == b"slow" {
        tokio::time::sleep(10 * LINE_TIMEOUT).await;
    }
    Ok(line.to_ascii_uppercase())
}

/// Turns a timeout into a reply. Any other error ends the connection.
fn timeout_is_a_reply(result: Result<Vec<u8>, BoxError>) -> Result<Vec<u8>, BoxError> {
    match result {
        Err(error) if error.is::<Elapsed>() => Ok(b"ERR timeout".into()),
        other => other,
    }
}
