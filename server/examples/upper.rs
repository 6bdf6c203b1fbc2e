//! A function of single lines.
//!
//! ```text
//! $ cargo run -p towline --example upper &
//! $ printf 'shout\nlouder\n' | nc -q1 127.0.0.1 9000
//! SHOUT
//! LOUDER
//! ```

use std::env;

use towline::{Builder, RunError, Server, each_line};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address)).run()?;
    Ok(())
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    builder.serve(each_line(|line, out| out.line(line.to_ascii_uppercase())))
}
