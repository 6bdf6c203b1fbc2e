//! One user: the commands that it sends.

use std::{collections::HashMap, fmt::Display, sync::Arc};

use towline::{Args, Close, CloseReason, Conn, Membership, ReplyError, protocol::AnyEol};

use super::{
    LINE_BYTES_MAX,
    network::{Network, lower},
};

const NICK_BYTES_MAX: usize = 30;
const CHANNEL_BYTES_MAX: usize = 50;
const CHANNELS_MAX: usize = 100;

/// The first arguments, of which there may be more.
pub(super) fn need<const N: usize>(args: Args<'_>) -> Result<[&[u8]; N], ReplyError> {
    const NOT_ENOUGH: ReplyError = ReplyError::of(":irc.example 461 *", ":Not enough parameters");
    args.at_least().map(|(first, _)| first).map_err(|_fewer| NOT_ENOUGH)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) struct Client {
    network: Arc<Network>,
    conn: Conn<AnyEol>,
    nick: Option<String>,
    user: Option<String>,
    /// It asks what the server can do, and is registered when it has decided.
    negotiates: bool,
    is_registered: bool,
    /// By names in lower case.
    joined: HashMap<String, Membership>,
    last_words: Option<String>,
}

/// Lines for the client itself.
pub(super) type Said = Result<Vec<String>, ReplyError>;

impl Client {
    pub(super) fn new(network: Arc<Network>, conn: Conn<AnyEol>) -> Self {
        Self {
            network,
            conn,
            nick: None,
            user: None,
            negotiates: false,
            is_registered: false,
            joined: HashMap::new(),
            last_words: None,
        }
    }

    pub(super) const fn is_registered(&self) -> bool {
        self.is_registered
    }

    pub(super) fn numeric(&self, code: u16, text: impl Display) -> String {
        format!(":irc.example {code:03} {} {text}", self.nick.as_deref().unwrap_or("*"))
    }

    /// A line of this client, as others get it.
    fn line(&self, text: impl Display) -> String {
        let [nick, user] = [&self.nick, &self.user].map(|name| name.as_deref().unwrap_or("*"));
        let mut line = format!(":{nick}!{user}@user.example {text}");
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        line
    }

    /// Greets the client once all is known of it.
    fn register(&mut self) -> Said {
        let (Some(nick), Some(user)) = (&self.nick, &self.user) else { return Ok(vec![]) };
        if self.negotiates || self.is_registered {
            return Ok(vec![]);
        }
        let welcome = format!(":Welcome, {nick}!{user}@user.example");
        let limits = format!("CHANNELLEN={CHANNEL_BYTES_MAX} NICKLEN={NICK_BYTES_MAX}");
        let said = vec![
            self.numeric(1, welcome),
            self.numeric(4, "irc.example towline o n"),
            self.numeric(5, format_args!("CASEMAPPING=ascii CHANTYPES=# {limits} :are supported")),
            self.numeric(422, ":There is no message of the day"),
        ];
        self.is_registered = true;
        Ok(said)
    }

    pub(super) fn names(&mut self, args: Args<'_>) -> Said {
        let [channel] = need(args)?;
        Ok(self.names_of(&text(channel)))
    }

    fn names_of(&self, channel: &str) -> Vec<String> {
        let lines = self.network.names(channel);
        let lines =
            lines.into_iter().map(|names| self.numeric(353, format_args!("= {channel} :{names}")));
        lines.chain([self.numeric(366, format_args!("{channel} :End of names"))]).collect()
    }

    pub(super) fn capabilities(&mut self, args: Args<'_>) -> Said {
        let [command] = need(args)?;
        match &command.to_ascii_uppercase()[..] {
            b"LS" => self.negotiates = !self.is_registered,
            b"REQ" => {
                let asked = args.iter().nth(1).map(text).unwrap_or_default();
                return Ok(vec![format!(":irc.example CAP * NAK :{asked}")]);
            }
            b"END" => {
                self.negotiates = false;
                return self.register();
            }
            _ => {}
        }
        Ok(vec![format!(":irc.example CAP * {} :", text(command).to_ascii_uppercase())])
    }

    pub(super) fn nick(&mut self, args: Args<'_>) -> Said {
        let [nick] = need(args)?;
        let nick = text(nick);
        let is_plain =
            nick.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_[]{}\\`^|".contains(&byte));
        if !is_plain || nick.is_empty() || nick.len() > NICK_BYTES_MAX {
            return Ok(vec![self.numeric(432, format_args!("{nick} :Erroneous nickname"))]);
        }
        let line = self.line(format_args!("NICK {nick}"));
        if !self.network.rename(&self.conn, &nick, self.joined.keys(), &line)? {
            return Ok(vec![self.numeric(433, format_args!("{nick} :Nickname is already in use"))]);
        }
        self.nick = Some(nick);
        match self.is_registered {
            false => self.register(),
            true if self.joined.is_empty() => Ok(vec![line]),
            // It hears this in its channels.
            true => Ok(vec![]),
        }
    }

    pub(super) fn user(&mut self, args: Args<'_>) -> Said {
        let [user] = need(args)?;
        if self.user.is_none() {
            let user: String =
                text(user).chars().filter(char::is_ascii_alphanumeric).take(10).collect();
            self.user = Some(user);
        }
        self.register()
    }

    pub(super) fn join(&mut self, args: Args<'_>) -> Said {
        let ([channels], mut said) = (need(args)?, vec![]);
        for channel in text(channels).split(',') {
            let is_name = channel.starts_with('#') && channel.len() <= CHANNEL_BYTES_MAX;
            if !is_name || channel.contains(char::is_control) {
                said.push(self.numeric(403, format_args!("{channel} :No such channel")));
            } else if self.joined.len() >= CHANNELS_MAX {
                said.push(
                    self.numeric(405, format_args!("{channel} :You have joined too many channels")),
                );
            } else if !self.joined.contains_key(&lower(channel)) {
                let line = self.line(format_args!("JOIN {channel}"));
                let (membership, topic) = self.network.join(channel, &self.conn, &line)?;
                self.joined.insert(lower(channel), membership);
                said.push(line);
                if !topic.is_empty() {
                    said.push(self.numeric(332, format_args!("{channel} :{topic}")));
                }
                said.extend(self.names_of(channel));
            }
        }
        Ok(said)
    }

    pub(super) fn part(&mut self, args: Args<'_>) -> Said {
        let ([channels], mut said) = (need(args)?, vec![]);
        let reason = args.iter().nth(1).map(text).unwrap_or_default();
        for channel in text(channels).split(',') {
            let Some(membership) = self.joined.remove(&lower(channel)) else {
                said.push(
                    self.numeric(442, format_args!("{channel} :You are not on that channel")),
                );
                continue;
            };
            let line = self.line(format_args!("PART {channel} :{reason}"));
            self.network.part(channel, &self.conn, membership, &line)?;
            said.push(line);
        }
        Ok(said)
    }

    pub(super) fn topic(&mut self, args: Args<'_>) -> Said {
        let ([channel], new) = (need(args)?, args.iter().nth(1).map(text));
        let channel = text(channel);
        if !self.joined.contains_key(&lower(&channel)) {
            return Ok(vec![
                self.numeric(442, format_args!("{channel} :You are not on that channel")),
            ]);
        }
        let Some(new) = new else {
            let topic = self.network.topic(&channel);
            return Ok(vec![self.numeric(332, format_args!("{channel} :{topic}"))]);
        };
        // It hears this itself.
        let line = self.line(format_args!("TOPIC {channel} :{new}"));
        self.network.set_topic(&channel, new, &line)?;
        Ok(vec![])
    }

    /// No mode can be set, but clients ask.
    pub(super) fn mode(&mut self, args: Args<'_>) -> Said {
        let [target] = need(args)?;
        let (target, modes) = (text(target), args.iter().nth(1));
        Ok(vec![match modes {
            _ if !target.starts_with('#') => self.numeric(221, "+"),
            Some(b"b" | b"+b") => self.numeric(368, format_args!("{target} :End of bans")),
            _ => self.numeric(324, format_args!("{target} +")),
        }])
    }

    /// `PRIVMSG` and `NOTICE`, which is never answered.
    pub(super) fn message(&mut self, args: Args<'_>) -> Said {
        let [target, words] = need(args)?;
        let (verb, target) = (text(args.verb()).to_ascii_uppercase(), text(target));
        let line = self.line(format_args!("{verb} {target} :{}", text(words)));
        let error = if target.starts_with('#') {
            let joined = self.joined.contains_key(&lower(&target));
            if joined {
                self.network.say(&target, &self.conn, &line)?;
            }
            (!joined).then(|| self.numeric(404, format_args!("{target} :Cannot send to channel")))
        } else {
            let is_known = self.network.tell(&target, &line)?;
            (!is_known).then(|| self.numeric(401, format_args!("{target} :No such nick")))
        };
        Ok(error.into_iter().filter(|_| verb == "PRIVMSG").collect())
    }

    pub(super) fn quit(&mut self, args: Args<'_>) -> Close<&'static str> {
        self.last_words = args.iter().next().map(text);
        Close("ERROR :Bye")
    }

    pub(super) fn leave(self, reason: CloseReason) {
        let words = self.last_words.as_deref().unwrap_or(reason.label());
        let line = self.line(format_args!("QUIT :{words}"));
        self.network.quit(&self.conn, self.joined, &line);
    }
}
