//! Conversations as text, which a test plays.

use std::{collections::HashMap, str::Chars, time::Duration};

use towline_middleware::stats::CloseReason;
use towline_units::parse_duration;

use super::{
    Client, Stage,
    expect::{Expected, Found, Place},
    in_paused_runtime,
};
use crate::Server;

/// Time that everything has to run, at the end.
const SETTLE: Duration = Duration::from_millis(1);

/// Plays a conversation with `server`, in memory and on a paused clock of its own: [`Stage::play`] has the
/// grammar.
///
/// ```
/// use std::convert::Infallible;
/// use towline::{EachLine, Line, Server, service_fn, test};
///
/// let upper = service_fn(|line: Line| async move { Ok::<_, Infallible>(line.to_ascii_uppercase()) });
/// test::transcript(
///     Server::builder().serve(EachLine::new(upper)),
///     "
///     C: shout
///     S: SHOUT
///     C<
///     S< peer_eof
///     ",
/// );
/// ```
///
/// # Panics
/// As [`Stage::play`]; when the server cannot be staged; in a Tokio runtime, where the caller awaits
/// [`Stage::play`].
#[track_caller]
pub fn transcript(server: Server, text: &str) {
    in_paused_runtime(async {
        Stage::new(server).play(text).await;
    });
}

impl Stage {
    /// Plays a conversation, one step a line:
    ///
    /// | step | does |
    /// |---|---|
    /// | `C: text` | the client sends the line |
    /// | `C+ bytes` | the client sends the bytes; `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` stand for one each |
    /// | `C<` | the client closes its sending side |
    /// | `S: text` | the server says exactly this line next |
    /// | `S~ text` | the server says such a line next; each `*` stands for any text |
    /// | `S+ bytes` | the server says exactly these bytes next, escaped as those of `C+` |
    /// | `S<`, `S< reason` | the server closes next, for this reason, as `/metrics` has it |
    /// | `-- 30s` | time passes |
    /// | `# text` | nothing |
    ///
    /// Several clients have names in front of their steps: `ann C: NICK ann`, `bob S: JOIN ann`. Each connects
    /// at its first step. Space in front of a step does not count, nor do empty lines.
    ///
    /// At the end no client has anything left that the server said and the text does not.
    ///
    /// ```
    /// use towline::{Args, Router, Server, protocol::Lf, test};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let count = Router::<Lf, u32>::new().command("COUNT", |count: &mut u32, _: Args<'_>| {
    ///     *count += 1;
    ///     *count
    /// });
    /// let stage = test::stage(Server::builder().router(count, |_conn| 0));
    /// stage.play("
    ///     ann C: COUNT
    ///     ann S: 1
    ///     bob C: COUNT
    ///     bob C: DANCE
    ///     bob S: 1
    ///     bob S~ ERR unknown command*
    /// ").await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// When a line is no step, before anything is played; when the server does not do what a step says. The
    /// message names the line.
    pub async fn play(&self, text: &str) {
        let steps: Vec<_> = match steps(text).collect() {
            Ok(steps) => steps,
            Err(error) => panic!("{error}"),
        };
        let mut clients = HashMap::new();
        for Step { number, text, name, act } in &steps {
            if let Act::Wait(time) = act {
                self.advance(*time).await;
                continue;
            }
            if !clients.contains_key(name) {
                clients.insert(*name, self.connect().await);
            }
            if let Some(client) = clients.get_mut(name) {
                take(client, Place::Line(*number, text), act).await;
            }
        }
        self.advance(SETTLE).await;
        for Step { number, text, name, .. } in steps.iter().rev() {
            // The last step of each client.
            if let Some(client) = clients.remove(name)
                && !client.pipe.state().said.is_empty()
            {
                client.fail(Place::Line(*number, text), &Expected::NoMore, &Found::Said);
            }
        }
    }
}

async fn take(client: &mut Client, at: Place<'_>, act: &Act<'_>) {
    match act {
        Act::Send(line) => client.send(line),
        Act::SendRaw(bytes) => client.send_raw(bytes),
        Act::HalfClose => client.half_close(),
        Act::Expect(line) => client.take_this_line(at, line.as_bytes()).await,
        Act::ExpectLike(pattern) => drop(client.take_line_like(at, pattern.as_bytes()).await),
        Act::ExpectRaw(bytes) => client.take_bytes(at, bytes).await,
        Act::ExpectClose(expected) => {
            let reason = client.end(at).await;
            if let Some(expected) = *expected
                && expected != reason
            {
                client.fail(at, &Expected::Reason(expected), &Found::Reason(reason));
            }
        }
        Act::Wait(_) => {}
    }
}

/// A line that is played.
struct Step<'a> {
    number: usize,
    text: &'a str,
    /// The client; empty if it has no name.
    name: &'a str,
    act: Act<'a>,
}

enum Act<'a> {
    Send(&'a str),
    SendRaw(Vec<u8>),
    HalfClose,
    Expect(&'a str),
    ExpectLike(&'a str),
    ExpectRaw(Vec<u8>),
    ExpectClose(Option<CloseReason>),
    Wait(Duration),
}

/// The steps of a text, or what is wrong with the first line that is none.
fn steps(text: &str) -> impl Iterator<Item = Result<Step<'_>, String>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let text = line.trim_start();
        if text.trim_end().is_empty() || text.starts_with('#') {
            return None;
        }
        let number = index + 1;
        let step = step(text).map(|(name, act)| Step { number, text, name, act });
        Some(step.map_err(|error| format!("line {number} of the transcript, `{text}`: {error}")))
    })
}

fn step(text: &str) -> Result<(&str, Act<'_>), String> {
    const EXPECTED: &str = "expected C:, C+, C<, S:, S~, S+ or S<, with the name of a client in front or not, or -- and a time";
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    if first == "--" {
        let time = parse_duration(rest.trim()).map_err(|error| format!("the time {error}"))?;
        return Ok(("", Act::Wait(time)));
    }
    if let Some(act) = act(first, rest)? {
        return Ok(("", act));
    }
    let (tag, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_name = first.chars().all(char::is_alphanumeric);
    let act = act(tag, rest)?.filter(|_| is_name);
    act.map(|act| (first, act)).ok_or_else(|| EXPECTED.to_owned())
}

fn act<'a>(tag: &str, text: &'a str) -> Result<Option<Act<'a>>, String> {
    Ok(Some(match tag {
        "C:" => Act::Send(text),
        "C+" => Act::SendRaw(unescaped(text)?),
        "C<" => Act::HalfClose,
        "S:" => Act::Expect(text),
        "S~" => Act::ExpectLike(text),
        "S+" => Act::ExpectRaw(unescaped(text)?),
        "S<" if text.trim().is_empty() => Act::ExpectClose(None),
        "S<" => Act::ExpectClose(Some(reason(text.trim())?)),
        _ => return Ok(None),
    }))
}

fn reason(label: &str) -> Result<CloseReason, String> {
    CloseReason::ALL.into_iter().find(|reason| reason.label() == label).ok_or_else(|| {
        let all: Vec<_> = CloseReason::ALL.into_iter().map(CloseReason::label).collect();
        format!("no connection ends for this reason: expected one of {}", all.join(", "))
    })
}

/// The bytes that an escaped text stands for.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => hex(&mut chars).ok_or("expected two hexadecimal digits behind \\x")?,
            _ => return Err("expected r, n, t, 0, \\ or xNN behind a backslash".to_owned()),
        });
    }
    Ok(bytes)
}

fn hex(chars: &mut Chars<'_>) -> Option<u8> {
    let mut digit = || chars.next()?.to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high << 4 | low).ok()
}
