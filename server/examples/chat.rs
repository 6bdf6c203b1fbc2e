//! A chat room: names, what is said to all and to one, and who comes and goes.
//!
//! ```text
//! $ cargo run -p towline --example chat &
//! $ printf 'SAY hi\nNICK ann\nNICK bob\nSAY hello\nTELL bob hi\nWHO\nQUIT\n' | nc -q1 127.0.0.1 9000
//! ERR say NICK first
//! OK 1 here
//! ERR you have a name
//! OK
//! ERR no guest of that name
//! HERE ann
//! BYE
//! ```
//! What a guest says reaches the others, as `SAY ann hello`. A guest that does not keep up is closed, and the others
//! are told.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    env,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use towline::{
    Args, Builder, Close, CloseReason, Conn, Cx, Group, Heartbeat, Membership, ReplyError, Rest,
    Router, RunError, Server, SlowConsumer, protocol::Lf,
};

const NAME_BYTES_MAX: usize = 32;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address), SlowConsumer::Disconnect).run().map(drop)
}

/// The server, with the settings of `builder`. `slow` says what happens to guests that do not keep up: here they are
/// closed; `DropOldest` or `Block` are other choices.
pub fn server(builder: Builder, slow: SlowConsumer) -> Server {
    let commands = Router::<Lf, Guest>::new()
        .command("NICK", nick)
        .command("WHO", |guest: &mut Guest, _: Args<'_>| {
            guest.room.names().keys().fold("HERE".to_owned(), |said, name| said + " " + name)
        })
        .command("QUIT", |_: &mut Guest, _: Args<'_>| Close("BYE"))
        .group(|named| named.before(has_a_name).command("SAY", say).command("TELL", tell))
        .on_drain(|_: &mut Guest, cx: &mut Cx<'_, Lf>| cx.close("NOTICE the server is going down"))
        .on_close(leave);
    let room = Arc::new(Room { guests: Group::new(slow), names: Mutex::default() });
    builder
        .heartbeat(Heartbeat::every(Duration::from_secs(30)))
        .router(commands, move |conn| Guest { room: room.clone(), conn, seat: None })
}

/// What all connections share.
struct Room {
    guests: Group,
    names: Mutex<BTreeMap<String, Conn>>,
}

impl Room {
    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Conn>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, with its name once it has one.
struct Guest {
    room: Arc<Room>,
    conn: Conn,
    seat: Option<(String, Membership)>,
}

impl Guest {
    fn name(&self) -> &str {
        self.seat.as_ref().map_or("", |(name, _)| name)
    }
}

fn has_a_name(guest: &mut Guest, _: Args<'_>, _: &mut Cx<'_, Lf>) -> Result<(), ReplyError> {
    if guest.seat.is_some() { Ok(()) } else { Err(ReplyError::new("say NICK first")) }
}

fn nick(guest: &mut Guest, args: Args<'_>) -> Result<String, ReplyError> {
    let name: &str = args.parse()?;
    if guest.seat.is_some() {
        return Err(ReplyError::new("you have a name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(ReplyError::new("that name is too long"));
    }
    let mut names = guest.room.names();
    let Entry::Vacant(free) = names.entry(name.to_owned()) else {
        return Err(ReplyError::new("that name is taken"));
    };
    // Under the lock of the names: of two that come at once, one is told of the other.
    guest.room.guests.send(format_args!("JOIN {name}"))?;
    free.insert(guest.conn.clone());
    guest.seat = Some((name.to_owned(), guest.room.guests.join(&guest.conn)));
    Ok(format!("OK {} here", names.len()))
}

fn say(guest: &mut Guest, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let words: Rest<'_> = args.parse()?;
    let said = format_args!("SAY {} {words}", guest.name());
    guest.room.guests.send_except(&guest.conn, said)?; // ERR busy, if too much waits
    Ok("OK")
}

fn tell(guest: &mut Guest, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let (name, words): (&str, Rest<'_>) = args.parse()?;
    let to = guest.room.names().get(name).cloned();
    let to = to.ok_or(ReplyError::new("no guest of that name"))?;
    to.push(format_args!("TELL {} {words}", guest.name()))?; // ERR gone, if it has just left
    Ok("OK")
}

/// The connection is dead to its group already: the others are told.
fn leave(guest: Guest, reason: CloseReason) {
    let Some((name, membership)) = guest.seat else { return };
    let mut names = guest.room.names();
    names.remove(&name);
    membership.leave();
    // If it is not taken, the next `WHO` tells.
    let _ = guest.room.guests.send(format_args!("QUIT {name} {}", reason.label()));
}
