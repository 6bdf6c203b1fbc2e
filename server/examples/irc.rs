//! Internet Relay Chat, as far as two people need it: nicks, channels and messages.
//!
//! ```text
//! $ cargo run -p towline --example irc &
//! $ printf 'JOIN #here\r\nNICK ann\r\nUSER ann 0 * :Ann\r\nJOIN #here\r\nPRIVMSG bob :hi\r\nQUIT\r\n' | nc -q1 127.0.0.1 6667
//! :irc.example 451 * :You have not registered
//! :irc.example 001 ann :Welcome, ann!ann@user.example
//! :irc.example 005 ann CASEMAPPING=ascii CHANTYPES=# NICKLEN=30 :are supported
//! :irc.example 422 ann :There is no message of the day
//! :ann!ann@user.example JOIN #here
//! :irc.example 353 ann = #here :ann
//! :irc.example 366 ann #here :End of names
//! :irc.example 401 ann bob :No such name
//! ERROR :Bye
//! ```
//! Addresses are not told: all users come from `user.example`. A nick is for as long as its connection.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    env,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use towline::{
    Args, Builder, Close, CloseReason, Conn, Cx, Group, Heartbeat, Membership, ReplyError, Router,
    RunError, Server, SlowConsumer, Topics, protocol::AnyEol,
};

const LINE_BYTES_MAX: usize = 510;
const NAME_BYTES_MAX: usize = 30;
const CHANNELS_MAX: usize = 100;
const NOT_REGISTERED: ReplyError = ReplyError::of(":irc.example 451 *", ":You have not registered");
const TOO_FEW: ReplyError = ReplyError::of(":irc.example 461 *", ":Not enough parameters");
const BUSY: ReplyError = ReplyError::of(":irc.example 263 *", ":Please wait and try again");

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6667".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<AnyEol, Client>::new()
        .args_of(split)
        .command("CAP", |_: &mut Client, _: Args<'_>| ()) // There are none.
        .command("NICK", Client::nick)
        .command("USER", |client: &mut Client, _: Args<'_>| {
            client.has_user = true;
            client.welcome()
        })
        .command("PING", |_: &mut Client, args: Args<'_>| {
            need(args).map(|[token]| format!(":irc.example PONG irc.example :{token}"))
        })
        .command("PONG", |_: &mut Client, _: Args<'_>| ())
        .command("QUIT", |client: &mut Client, args: Args<'_>| {
            client.last_words = args.iter().next().map(text);
            Close("ERROR :Bye")
        })
        .group(|registered| {
            registered
                .before(|client: &mut Client, _: Args<'_>, _: &mut Cx<'_, AnyEol>| {
                    client.is_registered.then_some(()).ok_or(NOT_REGISTERED)
                })
                .command("JOIN", Client::join)
                .command("PART", Client::part)
                .command("PRIVMSG", Client::message)
                .command("NOTICE", Client::message)
                .fallback(|client: &mut Client, args: Args<'_>| {
                    client.numeric(421, format_args!("{} :Unknown command", text(args.verb())))
                })
        })
        .on_drain(|_: &mut Client, cx: &mut Cx<'_, AnyEol>| cx.close("ERROR :Going down"))
        .on_close(Client::leave);
    let network = Arc::new(Mutex::new(Network {
        channels: Topics::new(SlowConsumer::Disconnect),
        users: HashMap::new(),
        members: BTreeSet::new(),
    }));
    builder
        .frame_max(LINE_BYTES_MAX)
        .heartbeat(Heartbeat::every(Duration::from_secs(90)))
        .ping("PING :irc.example\r\n")
        .pong(|line| line.starts_with(b"PONG"))
        .router(commands, move |conn| Client {
            network: network.clone(),
            conn,
            nick: "*".to_owned(),
            has_user: false,
            is_registered: false,
            joined: HashMap::new(),
            last_words: None,
        })
}

/// A line is `[@tags] [:sender] COMMAND argument… [:last argument]`. Tags and sender are not believed.
fn split(mut line: &[u8]) -> Args<'_> {
    while let [b'@' | b':', ..] = line {
        line = line[Args::words(line).verb().len()..].trim_ascii_start();
    }
    Args::new(line, |rest| {
        let word;
        (word, *rest) = match rest.trim_ascii_start() {
            [] => return None,
            [b':', last @ ..] => (last, &[][..]),
            line => line.split_at(Args::words(line).verb().len()),
        };
        Some(word)
    })
}

fn need<const N: usize>(args: Args<'_>) -> Result<[String; N], ReplyError> {
    args.at_least().map(|(first, _)| first.map(text)).map_err(|_fewer| TOO_FEW)
}

/// Without what some clients take for the end of a line.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\r', '\0'], "")
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains([' ', ',', ':', '!', '@', '*'])
}

/// What all connections share. Its lock is held while a change is sent: all clients see changes in one order.
struct Network {
    /// By names in lower case, as users.
    channels: Topics<AnyEol>,
    users: HashMap<String, Conn<AnyEol>>,
    /// Each channel with the nick of each member.
    members: BTreeSet<(String, String)>,
}

fn lock(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One user, whose nick is `*` until it has said one.
struct Client {
    network: Arc<Mutex<Network>>,
    conn: Conn<AnyEol>,
    nick: String,
    has_user: bool,
    is_registered: bool,
    /// By names in lower case.
    joined: HashMap<String, Membership>,
    last_words: Option<String>,
}

impl Client {
    fn numeric(&self, code: u16, text: impl Display) -> String {
        format!(":irc.example {code:03} {} {text}", self.nick)
    }

    /// A line of this client, as others get it.
    fn line(&self, text: impl Display) -> String {
        let mut line = format!(":{0}!{0}@user.example {text}", self.nick);
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        line
    }

    /// The greeting, once all is known of the client.
    fn welcome(&mut self) -> Result<Vec<String>, ReplyError> {
        if self.is_registered || !self.has_user || self.nick == "*" {
            return Ok(vec![]);
        }
        self.is_registered = true;
        Ok(vec![
            self.numeric(1, format_args!(":Welcome, {0}!{0}@user.example", self.nick)),
            self.numeric(5, "CASEMAPPING=ascii CHANTYPES=# NICKLEN=30 :are supported"),
            self.numeric(422, ":There is no message of the day"),
        ])
    }

    fn nick(&mut self, args: Args<'_>) -> Result<Vec<String>, ReplyError> {
        let [nick] = need(args)?;
        if nick.starts_with('#') || !is_name(&nick) {
            return Ok(vec![self.numeric(432, format_args!("{nick} :Erroneous nickname"))]);
        }
        match lock(&self.network).users.entry(nick.to_ascii_lowercase()) {
            Entry::Vacant(free) if self.nick == "*" => free.insert(self.conn.clone()),
            _ => return Ok(vec![self.numeric(433, format_args!("{nick} :Nickname is in use"))]),
        };
        self.nick = nick;
        self.welcome()
    }

    fn join(&mut self, args: Args<'_>) -> Result<Vec<String>, ReplyError> {
        let [channel] = need(args)?;
        let (key, line) = (channel.to_ascii_lowercase(), self.line(format_args!("JOIN {channel}")));
        if !key.starts_with('#') || !is_name(&key) || self.joined.len() >= CHANNELS_MAX {
            return Ok(vec![self.numeric(403, format_args!("{channel} :No such channel"))]);
        }
        let mut network = lock(&self.network);
        if network.members.contains(&(key.clone(), self.nick.clone())) {
            return Ok(vec![]);
        }
        network.channels.send(key.as_bytes(), &line).map_err(|_full| BUSY)?;
        self.joined.insert(key.clone(), network.channels.join(key.as_bytes(), &self.conn));
        network.members.insert((key.clone(), self.nick.clone()));
        let members = network.members.range((key.clone(), String::new())..);
        let nicks = members.map_while(|(of, nick)| (*of == key).then_some(nick));
        let names = nicks.map(|nick| self.numeric(353, format_args!("= {channel} :{nick}")));
        let end = self.numeric(366, format_args!("{channel} :End of names"));
        Ok([line].into_iter().chain(names).chain([end]).collect())
    }

    fn part(&mut self, args: Args<'_>) -> Result<Vec<String>, ReplyError> {
        let [channel] = need(args)?;
        let (key, line) = (channel.to_ascii_lowercase(), self.line(format_args!("PART {channel}")));
        if self.joined.remove(&key).is_none() {
            return Ok(vec![self.numeric(442, format_args!("{channel} :You are not in it"))]);
        }
        let mut network = lock(&self.network);
        network.members.remove(&(key.clone(), self.nick.clone()));
        network.channels.send(key.as_bytes(), &line).map_err(|_full| BUSY)?;
        Ok(vec![line])
    }

    /// `PRIVMSG` and `NOTICE`, which is never answered.
    fn message(&mut self, args: Args<'_>) -> Result<Vec<String>, ReplyError> {
        let [target, words] = need(args)?;
        let (verb, key) = (text(args.verb()).to_ascii_uppercase(), target.to_ascii_lowercase());
        let line = self.line(format_args!("{verb} {target} :{words}"));
        let network = lock(&self.network);
        let sent = match (network.channels.get(key.as_bytes()), network.users.get(&key)) {
            (Some(all), _) if self.joined.contains_key(&key) => all.send_except(&self.conn, &line),
            (_, Some(user)) => user.push(&line),
            _ if verb == "NOTICE" => Ok(()),
            _ => return Ok(vec![self.numeric(401, format_args!("{target} :No such name"))]),
        };
        sent.map(|()| vec![]).map_err(|_full| BUSY)
    }

    fn leave(self, reason: CloseReason) {
        let words = self.last_words.as_deref().unwrap_or(reason.label());
        let line = self.line(format_args!("QUIT :{words}"));
        let mut network = lock(&self.network);
        network.users.remove(&self.nick.to_ascii_lowercase());
        let mut groups = vec![];
        for (channel, _ended) in self.joined {
            groups.extend(network.channels.get(channel.as_bytes()));
            network.members.remove(&(channel, self.nick.clone()));
        }
        // To each once. If it is not taken, the next JOIN tells.
        let _ = Group::send_union(&groups, &line);
    }
}
