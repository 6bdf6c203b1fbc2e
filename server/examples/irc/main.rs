//! Internet Relay Chat, as far as two people need it: nicks, channels, topics, messages.
//!
//! ```text
//! $ cargo run -p towline --example irc &
//! $ printf 'JOIN #here\r\nNICK ann\r\nUSER ann 0 * :Ann\r\nJOIN #here\r\nPRIVMSG bob :hi\r\nQUIT\r\n' | nc -q1 127.0.0.1 6667
//! :irc.example 451 * :You have not registered
//! :irc.example 001 ann :Welcome, ann!ann@user.example
//! :irc.example 004 ann irc.example towline o n
//! :irc.example 005 ann CASEMAPPING=ascii CHANTYPES=# CHANNELLEN=50 NICKLEN=30 :are supported
//! :irc.example 422 ann :There is no message of the day
//! :ann!ann@user.example JOIN #here
//! :irc.example 353 ann = #here :ann
//! :irc.example 366 ann #here :End of names
//! :irc.example 401 ann bob :No such nick
//! ERROR :Bye
//! ```
//! Addresses of users are not told: all come from `user.example`.

mod client;
mod network;

use std::{env, sync::Arc, time::Duration};

use client::{Client, need, text};
use network::Network;
use towline::{
    Action, Args, Builder, Cx, Heartbeat, ReplyError, Router, RunError, Server, protocol::AnyEol,
};

const LINE_BYTES_MAX: usize = 510;
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60);

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6667".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<AnyEol, Client>::new()
        .args_of(split)
        .on_open(|_: &mut Client, cx: &mut Cx<'_, AnyEol>| {
            cx.set_timer(REGISTRATION_TIMEOUT);
            Action::Continue
        })
        .on_timer(|client: &mut Client, cx: &mut Cx<'_, AnyEol>| match client.is_registered() {
            true => Action::Continue,
            false => cx.close("ERROR :Registration timed out"),
        })
        .command("CAP", Client::capabilities)
        .command("NICK", Client::nick)
        .command("USER", Client::user)
        .command("PING", |_: &mut Client, args: Args<'_>| {
            need(args).map(|[token]| format!(":irc.example PONG irc.example :{}", text(token)))
        })
        .command("PONG", |_: &mut Client, _: Args<'_>| ())
        .command("QUIT", Client::quit)
        .group(|registered| {
            registered
                .before(|client: &mut Client, _: Args<'_>, _: &mut Cx<'_, AnyEol>| {
                    client.is_registered().then_some(()).ok_or(NOT_REGISTERED)
                })
                .command("JOIN", Client::join)
                .command("PART", Client::part)
                .command("NAMES", Client::names)
                .command("TOPIC", Client::topic)
                .command("MODE", Client::mode)
                .command("PRIVMSG", Client::message)
                .command("NOTICE", Client::message)
                .fallback(|client: &mut Client, args: Args<'_>| {
                    client.numeric(421, format_args!("{} :Unknown command", text(args.verb())))
                })
        })
        .on_drain(|_: &mut Client, cx: &mut Cx<'_, AnyEol>| cx.close("ERROR :Going down"))
        .on_close(Client::leave);
    let network = Arc::new(Network::default());
    builder
        .frame_max(LINE_BYTES_MAX)
        .heartbeat(Heartbeat::every(Duration::from_secs(90)))
        .ping("PING :irc.example\r\n")
        .pong(|line| line.starts_with(b"PONG"))
        .router(commands, move |conn| Client::new(network.clone(), conn))
}

const NOT_REGISTERED: ReplyError = ReplyError::of(":irc.example 451 *", ":You have not registered");

/// A line is `[@tags] [:sender] COMMAND argument… [:last argument]`. Tags and sender are not believed.
fn split(mut line: &[u8]) -> Args<'_> {
    while let [b'@' | b':', ..] = line {
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        line = line[end..].trim_ascii_start();
    }
    Args::new(line, |rest| {
        let line = rest.trim_ascii_start();
        if let Some(last) = line.strip_prefix(b":") {
            *rest = &[];
            return Some(last);
        }
        let (word, behind) =
            line.split_at(line.iter().position(|&byte| byte == b' ').unwrap_or(line.len()));
        *rest = behind;
        (!word.is_empty()).then_some(word)
    })
}
