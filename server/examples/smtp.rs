//! A server that takes mail: a dialogue with states, and text that is no command. Lines end in CRLF and in
//! nothing else, so no mail is smuggled past another server that sees other ends.
//!
//! ```text
//! $ cargo run -p towline --example smtp &
//! $ printf 'EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n' | nc -q1 127.0.0.1 2525
//! 220 mx.example ESMTP
//! 250-mx.example
//! 250-PIPELINING
//! 250 8BITMIME
//! 250 OK
//! 250 OK
//! 354 end with a dot
//! 250 taken
//! 221 bye
//! ```
//! With a folder as its second argument, it keeps each mail there as a file; with a certificate and a key behind that,
//! it offers STARTTLS.

use std::{env, fs, iter, path::Path, thread};

use tokio::sync::mpsc::{Sender, channel};
use towline::{
    Action, ActionOf, Args, Builder, Cx, Deferred, RunError, Server, Session, Tls, Upgrade,
    protocol::CrLf,
};

const WAITING_MAX: usize = 64;
const RECIPIENTS_MAX: usize = 100;
const MAIL_BYTES_MAX: usize = 10 << 20;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:2525".to_owned());
    let (taken, mut mails) = channel::<Mail>(WAITING_MAX);
    let folder = env::args().nth(2);
    let mails = iter::from_fn(move || mails.blocking_recv());
    thread::spawn(move || {
        mails.enumerate().for_each(|(number, mail)| keep(number, &mail, folder.as_deref()));
    });
    let mut builder = Server::builder().listen(&address);
    if let [Some(cert), Some(key)] = [3, 4].map(|at| env::args().nth(at)) {
        builder = builder.starttls(Tls::files(cert, key));
    }
    server(builder, taken).run().map(drop)
}

fn keep(number: usize, mail: &Mail, folder: Option<&str>) {
    let Some(folder) = folder else { return eprintln!("a mail of {} bytes", mail.text.len()) };
    // Under its name when it is whole.
    let (part, file) = (format!("{number}.part"), format!("{number}.eml"));
    let [part, file] = [part, file].map(|name| Path::new(folder).join(name));
    if let Err(error) = fs::write(&part, &mail.text).and_then(|()| fs::rename(&part, &file)) {
        eprintln!("{}: {error}", file.display());
    }
}

/// The server, with the settings of `builder`, which gives mails to `taken`.
pub(crate) fn server(builder: Builder, taken: Sender<Mail>) -> Server {
    builder.sessions(move |_conn| Smtp::new(taken.clone(), false))
}

/// A mail, as far as it has come: its recipients, and its text with the headers.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) to: Vec<Vec<u8>>,
    pub(crate) text: Vec<u8>,
}

struct Smtp {
    taken: Sender<Mail>,
    mail: Option<Mail>,
    in_text: bool,
    is_secured: bool,
}

impl Smtp {
    const fn new(taken: Sender<Mail>, is_secured: bool) -> Self {
        Self { taken, mail: None, in_text: false, is_secured }
    }
}

/// Nothing that was said in the clear is believed.
impl Upgrade for Smtp {
    fn on_secured(&mut self, _: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        *self = Self::new(self.taken.clone(), true);
        Action::Continue
    }
}

impl Session for Smtp {
    type Protocol = CrLf;

    fn on_open(&mut self, cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        cx.reply("220 mx.example ESMTP")
    }

    fn on_frame(&mut self, line: &[u8], cx: &mut Cx<'_, CrLf>) -> ActionOf<Self> {
        if self.in_text {
            let mail = self.mail.get_or_insert_default();
            if line != b"." {
                // A dot in front of a line is one more than was meant.
                mail.text.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
                mail.text.extend_from_slice(b"\r\n");
                let too_long = mail.text.len() > MAIL_BYTES_MAX;
                return if too_long { cx.close("552 too long") } else { cx.reply(()) };
            }
            self.in_text = false;
            let (mail, taken) = (self.mail.take().unwrap_or_default(), self.taken.clone());
            return cx.reply(Deferred::new(async move {
                if taken.send(mail).await.is_ok() { "250 taken" } else { "451 try later" }
            }));
        }
        let args = Args::words(line);
        match (&args.verb().to_ascii_uppercase()[..], &mut self.mail) {
            (b"MAIL", mail @ None) => *mail = Some(Mail::default()),
            (b"RCPT", Some(m)) if m.to.len() < RECIPIENTS_MAX => m.to.push(args.rest().to_vec()),
            (b"DATA", Some(mail)) if !mail.to.is_empty() => self.in_text = true,
            (b"MAIL" | b"RCPT" | b"DATA", _) => return cx.reply("503 not now"),
            (b"EHLO", mail) => {
                *mail = None;
                cx.write(["250-mx.example", "250-PIPELINING"]);
                if cx.starts_tls() && !self.is_secured {
                    cx.write("250-STARTTLS");
                }
                return cx.reply("250 8BITMIME");
            }
            (b"STARTTLS", _) if !self.is_secured => return cx.secure("220 go ahead"),
            (b"HELO" | b"RSET", mail) => {
                *mail = None;
                return cx.reply("250 mx.example");
            }
            (b"NOOP", _) => {}
            (b"QUIT", _) => return cx.close("221 bye"),
            _ => return cx.reply("500 unknown command"),
        }
        cx.reply(if self.in_text { "354 end with a dot" } else { "250 OK" })
    }
}
