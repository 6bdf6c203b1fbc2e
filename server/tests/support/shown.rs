//! The conversations that an example's own documentation shows.

use std::{fs, path::Path};

use towline::{
    Server,
    test::{self, Stage},
};

/// What a client of an example is shown to send, as `printf` has it, and the lines that it gets.
#[derive(Debug)]
struct Shown {
    input: String,
    output: Vec<String>,
}

impl Shown {
    /// As a transcript, which has the escapes of `printf`.
    fn transcript(&self) -> String {
        let said: String = self.output.iter().map(|line| format!("S: {line}\n")).collect();
        format!("C+ {}\n{said}", self.input)
    }

    /// The bytes that are sent.
    fn bytes(&self) -> Vec<u8> {
        assert!(!self.input.replace("\\r", "").replace("\\n", "").contains('\\'), "{self:?}");
        self.input.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
    }
}

/// Reads the conversations out of the documentation of `example`: each begins with a line
/// `$ printf '…' | nc …`.
fn shown(example: &str) -> Vec<Shown> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let source = fs::read_to_string(file).unwrap();
    let text = source.lines().filter_map(|line| line.strip_prefix("//! "));
    let mut found: Vec<Shown> = Vec::new();
    let mut inside = false;
    for line in text {
        if let Some(command) = line.strip_prefix("$ printf '") {
            let (input, client) = command.split_once("' | ").unwrap();
            assert!(client.starts_with("nc -q"), "{line}");
            found.push(Shown { input: input.to_owned(), output: Vec::new() });
            inside = true;
        } else if line.starts_with("```") || line.starts_with("$ ") {
            inside = false;
        } else if inside && let Some(last) = found.last_mut() {
            last.output.push(line.to_owned());
        }
    }
    assert!(!found.is_empty(), "{example} shows no conversation");
    found
}

/// Checks that a server does what the documentation of `example` shows, in memory and over sockets.
pub(crate) fn does_what_it_shows(example: &str, server: impl Fn() -> Server) {
    for conversation in shown(example) {
        let transcript = conversation.transcript();
        test::transcript(server(), &transcript);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async { Stage::over_tcp(server()).play(&transcript).await });
    }
}

/// The same, however the input is cut.
pub(crate) fn does_what_it_shows_in_any_pieces(example: &str, server: impl Fn() -> Server) {
    does_what_it_shows(example, &server);
    for conversation in shown(example) {
        let held = test::any_split(&server, conversation.bytes());
        let said = String::from_utf8(held.said).unwrap();
        assert!(said.lines().eq(&conversation.output), "{said}");
    }
}
