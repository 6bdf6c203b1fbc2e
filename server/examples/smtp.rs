//! A server that takes mail: a dialogue with states, and text that is no command.
//!
//! ```text
//! $ cargo run -p towline --example smtp &
//! $ printf 'EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n' | nc -q1 127.0.0.1 2525
//! 220 mx.example ESMTP
//! 250 mx.example
//! 250 OK
//! 250 OK
//! 354 end with a dot
//! 250 taken
//! 221 bye
//! ```
//!
//! Lines end in CRLF and in nothing else, so no mail is smuggled past another server that sees other ends.

use std::{env, mem, thread};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use towline::{
    Action, ActionOf, Builder, Cx, Deferred, FrameOf, RunError, Server, Session, protocol::CrLf,
};

/// Mails that wait for delivery.
const WAITING_MAX: usize = 64;

/// Longest mail.
const MAIL_BYTES_MAX: usize = 10 << 20;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2525".to_owned());
    let (taken, mails) = channel(WAITING_MAX);
    thread::spawn(move || deliver(mails));
    server(Server::builder().listen(&address), taken).run()?;
    Ok(())
}

/// The server, with the settings of `builder`, which gives mails to `taken`.
pub fn server(builder: Builder, taken: Sender<Mail>) -> Server {
    builder.sessions(move |_conn| Smtp {
        taken: taken.clone(),
        state: State::Hello,
        mail: Mail::default(),
    })
}

fn deliver(mut mails: Receiver<Mail>) {
    while let Some(mail) = mails.blocking_recv() {
        eprintln!("{} bytes for {} recipients", mail.text.len(), mail.to.len());
    }
}

/// A mail, as far as it has come.
#[derive(Debug, Default)]
pub struct Mail {
    /// The recipients, as they were named.
    pub to: Vec<Vec<u8>>,
    /// The text, headers included.
    pub text: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Hello,
    From,
    To,
    Data,
}

struct Smtp {
    taken: Sender<Mail>,
    state: State,
    mail: Mail,
}

impl Smtp {
    fn go<T>(&mut self, state: State, reply: T, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self>
    where
        T: towline::Message,
    {
        self.state = state;
        cx.reply(reply)
    }

    /// A line of the mail. A dot in front of it is one more than was meant.
    fn text(&mut self, line: &[u8], cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        if line != b"." {
            let line = line.strip_prefix(b".").unwrap_or(line);
            if self.mail.text.len() + line.len() + 2 > MAIL_BYTES_MAX {
                return cx.close("552 too long");
            }
            self.mail.text.extend_from_slice(line);
            self.mail.text.extend_from_slice(b"\r\n");
            return Action::Continue;
        }
        self.state = State::Hello;
        let (mail, taken) = (mem::take(&mut self.mail), self.taken.clone());
        Action::Deferred(Deferred::new(async move {
            if taken.send(mail).await.is_ok() { "250 taken" } else { "451 try later" }
        }))
    }
}

impl Session for Smtp {
    type Protocol = CrLf;

    fn on_open(&mut self, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        cx.reply("220 mx.example ESMTP")
    }

    fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        if self.state == State::Data {
            return self.text(line, cx);
        }
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        match (&line[..end].to_ascii_uppercase()[..], self.state) {
            (b"EHLO" | b"HELO", _) => self.go(State::Hello, "250 mx.example", cx),
            (b"MAIL", State::Hello) => self.go(State::From, "250 OK", cx),
            (b"RCPT", State::From | State::To) => {
                self.mail.to.push(line[end..].trim_ascii().to_vec());
                self.go(State::To, "250 OK", cx)
            }
            (b"DATA", State::To) => self.go(State::Data, "354 end with a dot", cx),
            (b"RSET", _) => {
                self.mail = Mail::default();
                self.go(State::Hello, "250 OK", cx)
            }
            (b"NOOP", _) => cx.reply("250 OK"),
            (b"QUIT", _) => cx.close("221 bye"),
            (b"MAIL" | b"RCPT" | b"DATA", _) => cx.reply("503 not now"),
            _ => cx.reply("500 unknown command"),
        }
    }
}
