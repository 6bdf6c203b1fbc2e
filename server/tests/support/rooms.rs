//! A server whose clients push to one another.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use towline::{
    Args, Builder, Close, CloseReason, Conn, Cx, Deferred, Group, Membership, ReplyError,
    ReplyStream, Rest, Router, Server, SlowConsumer, Topics, protocol::Lf,
};

/// What all clients share.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) topics: Topics,
    pub(crate) conns: Arc<Mutex<HashMap<u64, Conn>>>,
}

impl Rooms {
    pub(crate) fn new(slow: SlowConsumer) -> Self {
        Self { topics: Topics::new(slow), conns: Arc::default() }
    }

    pub(crate) fn conns(&self) -> MutexGuard<'_, HashMap<u64, Conn>> {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that called itself `name`.
    pub(crate) fn conn(&self, name: u64) -> Conn {
        self.conns()[&name].clone()
    }

    fn room(&self, name: &str) -> Result<Group, ReplyError> {
        self.topics.get(name.as_bytes()).ok_or(ReplyError::new("nobody is there"))
    }
}

struct Client {
    rooms: Rooms,
    conn: Conn,
    name: Option<u64>,
    joined: HashMap<String, Membership>,
}

/// A server of `rooms`.
pub(crate) fn server(builder: Builder, rooms: &Rooms) -> Server {
    let commands = Router::<Lf, Client>::new()
        .command("NAME", name)
        .command("JOIN", join)
        .command("LEAVE", leave)
        .command("SAY", say)
        .command("OTHERS", others)
        .command("UNION", union)
        .command("TELL", tell)
        .command("SELF", push_to_itself)
        .command("WAIT", |_: &mut Client, args: Args<'_>| -> Result<_, ReplyError> {
            let (millis, text): (u64, Rest<'_>) = args.parse()?;
            let text = text.to_string();
            Ok(Deferred::new(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                text
            }))
        })
        .command("PARTS", |_: &mut Client, _: Args<'_>| {
            let parts = stream::iter(["one ", "reply ", "in parts\n"]).then(|part| async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok::<_, Infallible>(part.into())
            });
            ReplyStream::new(parts)
        })
        .command("QUIT", |_: &mut Client, _: Args<'_>| Close("bye"))
        .on_drain(|_: &mut Client, cx: &mut Cx<'_, Lf>| cx.close("going down"))
        .on_close(|client: Client, why: CloseReason| {
            if let Some(name) = client.name {
                client.rooms.conns().remove(&name);
            }
            for room in client.joined.keys() {
                let _ =
                    client.rooms.topics.send(room.as_bytes(), format_args!("GONE {}", why.label()));
            }
        });
    let rooms = rooms.clone();
    builder.router(commands, move |conn| Client {
        rooms: rooms.clone(),
        conn,
        name: None,
        joined: HashMap::new(),
    })
}

fn name(client: &mut Client, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let name: u64 = args.parse()?;
    client.rooms.conns().insert(name, client.conn.clone());
    client.name = Some(name);
    Ok("OK")
}

fn push_to_itself(client: &mut Client, args: Args<'_>) -> Result<&'static str, ReplyError> {
    client.conn.push(args.parse::<Rest<'_>>()?.0)?;
    Ok("pushed")
}

fn join(client: &mut Client, args: Args<'_>) -> Result<String, ReplyError> {
    let room: &str = args.parse()?;
    let _ = client.rooms.topics.send(room.as_bytes(), "CAME");
    let membership = client.rooms.topics.join(room.as_bytes(), &client.conn);
    client.joined.insert(room.to_owned(), membership);
    Ok(format!("OK {}", client.rooms.room(room).map_or(0, |room| room.len())))
}

fn leave(client: &mut Client, args: Args<'_>) -> Result<&'static str, ReplyError> {
    client.joined.remove(args.parse::<&str>()?);
    Ok("OK")
}

fn say(client: &mut Client, args: Args<'_>) -> Result<usize, ReplyError> {
    let (room, text): (&str, Rest<'_>) = args.parse()?;
    Ok(client.rooms.topics.send(room.as_bytes(), text.0)?)
}

fn others(client: &mut Client, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let (room, text): (&str, Rest<'_>) = args.parse()?;
    client.rooms.room(room)?.send_except(&client.conn, text.0)?;
    Ok("OK")
}

fn union(client: &mut Client, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let (one, other, text): (&str, &str, Rest<'_>) = args.parse()?;
    Group::send_union(&[client.rooms.room(one)?, client.rooms.room(other)?], text.0)?;
    Ok("OK")
}

fn tell(client: &mut Client, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let (to, text): (u64, Rest<'_>) = args.parse()?;
    let to =
        client.rooms.conns().get(&to).cloned().ok_or(ReplyError::new("nobody of that name"))?;
    to.push(text.0)?;
    Ok("OK")
}
