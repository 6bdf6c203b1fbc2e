//! The names of users, and the members of channels.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use towline::{
    Conn, ConnId, Group, Membership, PushError, ReplyError, SlowConsumer, protocol::AnyEol,
};

const NAMES_OF_A_LINE: usize = 10;

/// Too much waits for the connections of a thread.
fn busy(_: PushError) -> ReplyError {
    ReplyError::of(":irc.example 263 *", ":Please wait a while and try again")
}

/// The form in which names are compared.
pub(super) fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// What all connections share. Changes are sent under its lock, so that all clients see them in one order.
#[derive(Default)]
pub(super) struct Network(Mutex<Tables>);

/// Names are in lower case.
#[derive(Default)]
struct Tables {
    ids: HashMap<String, ConnId>,
    users: HashMap<ConnId, User>,
    channels: HashMap<String, Channel>,
}

struct User {
    nick: String,
    conn: Conn<AnyEol>,
}

struct Channel {
    topic: String,
    group: Group<AnyEol>,
    members: BTreeSet<ConnId>,
}

impl Tables {
    /// Takes a member out of a channel, which ends with its last one. Returns those that are left.
    fn part(&mut self, channel: &str, conn: &Conn<AnyEol>) -> Option<Group<AnyEol>> {
        let left = self.channels.get_mut(channel)?;
        left.members.remove(&conn.id());
        if left.members.is_empty() {
            self.channels.remove(channel);
            return None;
        }
        Some(left.group.clone())
    }
}

impl Network {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection the name `nick`, unless another one has it. Sends `line` to its channels.
    pub(super) fn rename<'a>(
        &self,
        conn: &Conn<AnyEol>,
        nick: &str,
        channels: impl Iterator<Item = &'a String>,
        line: &str,
    ) -> Result<bool, ReplyError> {
        let mut tables = self.tables();
        if tables.ids.get(&lower(nick)).is_some_and(|id| *id != conn.id()) {
            return Ok(false);
        }
        let groups =
            channels.filter_map(|name| tables.channels.get(name)).map(|found| &found.group);
        Group::send_union(groups, line).map_err(busy)?;
        let user = User { nick: nick.to_owned(), conn: conn.clone() };
        if let Some(old) = tables.users.insert(conn.id(), user) {
            tables.ids.remove(&lower(&old.nick));
        }
        tables.ids.insert(lower(nick), conn.id());
        Ok(true)
    }

    /// Sends `line` to the user with the name `nick`. Returns whether there is one.
    pub(super) fn tell(&self, nick: &str, line: &str) -> Result<bool, ReplyError> {
        let tables = self.tables();
        let id = tables.ids.get(&lower(nick));
        match id.and_then(|id| tables.users.get(id)).map(|user| user.conn.push(line)) {
            None | Some(Err(PushError::Closed)) => Ok(false),
            Some(sent) => sent.map(|()| true).map_err(busy),
        }
    }

    /// Makes a connection a member of a channel, after `line` was sent to the others. Returns its topic, too.
    pub(super) fn join(
        &self,
        channel: &str,
        conn: &Conn<AnyEol>,
        line: &str,
    ) -> Result<(Membership, String), ReplyError> {
        let mut tables = self.tables();
        let channel = tables.channels.entry(lower(channel)).or_insert_with(|| Channel {
            topic: String::new(),
            group: Group::new(SlowConsumer::Disconnect),
            members: BTreeSet::new(),
        });
        // An empty channel takes every line.
        channel.group.send(line).map_err(busy)?;
        channel.members.insert(conn.id());
        Ok((channel.group.join(conn), channel.topic.clone()))
    }

    /// Ends a membership. Sends `line` to the members that are left.
    pub(super) fn part(
        &self,
        channel: &str,
        conn: &Conn<AnyEol>,
        membership: Membership,
        line: &str,
    ) -> Result<(), ReplyError> {
        let mut tables = self.tables();
        membership.leave();
        let group = tables.part(&lower(channel), conn);
        group.map_or(Ok(()), |group| group.send(line).map(drop).map_err(busy))
    }

    /// Ends all that a connection was. Sends `line` once to each member of its channels.
    pub(super) fn quit(
        &self,
        conn: &Conn<AnyEol>,
        joined: HashMap<String, Membership>,
        line: &str,
    ) {
        let mut tables = self.tables();
        if let Some(user) = tables.users.remove(&conn.id()) {
            tables.ids.remove(&lower(&user.nick));
        }
        let groups: Vec<_> =
            joined.keys().filter_map(|channel| tables.part(channel, conn)).collect();
        drop(joined);
        // If it is not taken, the next NAMES tells.
        let _ = Group::send_union(&groups, line);
    }

    /// Sends to the members of a channel but `conn`.
    pub(super) fn say(
        &self,
        channel: &str,
        conn: &Conn<AnyEol>,
        line: &str,
    ) -> Result<(), ReplyError> {
        let tables = self.tables();
        let channel = tables.channels.get(&lower(channel));
        channel.map_or(Ok(()), |channel| channel.group.send_except(conn, line).map_err(busy))
    }

    /// Sends `line`, which says the topic, to all members.
    pub(super) fn set_topic(
        &self,
        channel: &str,
        topic: String,
        line: &str,
    ) -> Result<(), ReplyError> {
        let mut tables = self.tables();
        if let Some(channel) = tables.channels.get_mut(&lower(channel)) {
            channel.group.send(line).map_err(busy)?;
            channel.topic = topic;
        }
        Ok(())
    }

    pub(super) fn topic(&self, channel: &str) -> String {
        let tables = self.tables();
        tables.channels.get(&lower(channel)).map(|found| found.topic.clone()).unwrap_or_default()
    }

    /// The nicks of a channel's members, some to a line.
    pub(super) fn names(&self, channel: &str) -> Vec<String> {
        let tables = self.tables();
        let Some(channel) = tables.channels.get(&lower(channel)) else { return vec![] };
        let users = channel.members.iter().filter_map(|id| tables.users.get(id));
        let nicks: Vec<&str> = users.map(|user| &user.nick[..]).collect();
        nicks.chunks(NAMES_OF_A_LINE).map(|nicks| nicks.join(" ")).collect()
    }
}
