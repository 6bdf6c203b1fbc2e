//! Publish and subscribe that Redis clients talk to.
//!
//! ```text
//! $ cargo run --release -p towline --example pubsub &
//! $ redis-cli subscribe news &
//! $ redis-cli publish news hello
//! ```
//! In version 2 of Redis' protocol, a connection that is subscribed may only say `SUBSCRIBE`, `UNSUBSCRIBE`, `PING`
//! and `QUIT`; in version 3, messages have a type of their own, and all commands go on. A message is encoded once for all subscribers; one that does not keep up is closed.

use std::collections::HashMap;
use towline::{
    Args, Builder, Close, Cx, Membership, Message, Out, ReplyError, Router, RunError, Server,
    SlowConsumer, Topics, Value, protocol::Resp, reply::Replies,
};

fn main() -> Result<(), RunError> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    let builder = Server::builder().listen(&address);
    // The address of the admin port, if there is to be one.
    let builder = match args.next() {
        Some(admin) => builder.admin(&admin),
        None => builder,
    };
    server(builder).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Resp, Client>::new()
        .command("SUBSCRIBE", subscribe)
        .command("UNSUBSCRIBE", unsubscribe)
        .command("PING", ping)
        .command("QUIT", |_: &mut Client, _: Args<'_>| Close(Value::Ok))
        .group(|free| {
            free.before(is_free)
                .command("HELLO", hello)
                .command("PUBLISH", publish)
                .timed()
                .command("PUBSUB", pubsub)
                // What clients and benchmarks say first.
                .command("CLIENT", |_: &mut Client, _: Args<'_>| Value::Ok)
                .command("SELECT", |_: &mut Client, _: Args<'_>| Value::Ok)
                .command("COMMAND", |_: &mut Client, _: Args<'_>| Value::array([]))
                .command("INFO", |_: &mut Client, _: Args<'_>| "loading:0\r\n")
                .command("CONFIG", |_: &mut Client, _: Args<'_>| Value::array([]))
        });
    let topics = [RESP2, RESP3].map(|_| Topics::new(SlowConsumer::Disconnect));
    builder.frame_max(1 << 20).router(commands, move |_conn| Client {
        topics: topics.clone(),
        version: RESP2,
        joined: HashMap::new(),
    })
}

/// Versions of the protocol, as positions in `topics`.
const RESP2: usize = 0;
const RESP3: usize = 1;

/// One connection.
struct Client {
    /// For each version, the topics of those that speak it: they get the same bytes.
    topics: [Topics<Resp>; 2],
    version: usize,
    joined: HashMap<Box<[u8]>, Membership>,
}

fn subscribe(client: &mut Client, args: Args<'_>, cx: &mut Cx<'_, Resp>) -> Result<(), ReplyError> {
    args.at_least::<1>()?;
    for name in args.iter() {
        let Client { topics, version, joined } = client;
        joined.entry(name.into()).or_insert_with(|| topics[*version].join(name, cx.conn()));
        // Before the first message, whatever other threads do meanwhile.
        cx.write(Event(*version, "subscribe", Some(name), joined.len()));
    }
    Ok(())
}

fn unsubscribe(client: &mut Client, args: Args<'_>, cx: &mut Cx<'_, Resp>) {
    let all: Vec<Box<[u8]>> = client.joined.keys().cloned().collect();
    let mut names: Vec<&[u8]> = args.iter().collect();
    if names.is_empty() {
        names = all.iter().map(|name| &name[..]).collect();
    }
    if names.is_empty() {
        cx.write(Event(client.version, "unsubscribe", None::<&[u8]>, 0));
    }
    for name in names {
        client.joined.remove(name);
        cx.write(Event(client.version, "unsubscribe", Some(name), client.joined.len()));
    }
}

/// What happened to which topic, in a version, and with what: a count of subscriptions, or a message.
struct Event<Name, What>(usize, &'static str, Name, What);

impl<Name: Message, What: Message> Message for Event<Name, What> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        let Self(version, event, name, what) = self;
        out.raw([b"*3\r\n", b">3\r\n"][version]);
        out.write(event);
        out.write(name);
        out.write(what);
    }
}

fn publish(client: &mut Client, args: Args<'_>) -> Result<usize, ReplyError> {
    let [name, text] = args.exactly()?;
    let mut subscribers = 0;
    for version in [RESP2, RESP3] {
        if let Some(topic) = client.topics[version].get(name) {
            subscribers += topic.send(Event(version, "message", name, text))?;
        }
    }
    Ok(subscribers)
}

fn pubsub(client: &mut Client, args: Args<'_>) -> Result<Value, ReplyError> {
    let ([what], names) = args.at_least()?;
    if !what.eq_ignore_ascii_case(b"NUMSUB") {
        return Err(ReplyError::new("only PUBSUB NUMSUB is known"));
    }
    let counts = names.iter().flat_map(|name| {
        let topics = client.topics.iter().filter_map(|topics| topics.get(name));
        let members: usize = topics.map(|topic| topic.len()).sum();
        [Value::bulk(name), Value::Int(members as i64)]
    });
    Ok(Value::array(counts))
}

fn ping(client: &mut Client, args: Args<'_>) -> Result<Value, ReplyError> {
    let word: Option<&[u8]> = args.parse()?;
    Ok(match word {
        _ if client.version == RESP2 && !client.joined.is_empty() => {
            Value::array([Value::bulk("pong"), Value::bulk(word.unwrap_or_default())])
        }
        Some(word) => Value::bulk(word),
        None => Value::Simple("PONG"),
    })
}

/// `HELLO [2 | 3]`: the version of the protocol.
fn hello(client: &mut Client, args: Args<'_>, cx: &mut Cx<'_, Resp>) -> Result<(), ReplyError> {
    let version = match args.iter().next() {
        None => client.version,
        Some(b"2") => RESP2,
        Some(b"3") => RESP3,
        Some(_) => return Err(ReplyError::of("NOPROTO", "unsupported protocol version")),
    };
    if version != client.version && !client.joined.is_empty() {
        return Err(ReplyError::new("unsubscribe before another version"));
    }
    client.version = version;
    cx.raw([&b"*6\r\n"[..], b"%3\r\n"][version]);
    ["server", "towline", "version", "6.0.0", "proto"].into_iter().for_each(|word| cx.write(word));
    cx.write(version + 2);
    Ok(())
}

fn is_free(client: &mut Client, _: Args<'_>, _: &mut Cx<'_, Resp>) -> Result<(), ReplyError> {
    if client.version == RESP3 || client.joined.is_empty() {
        return Ok(());
    }
    Err(ReplyError::new("only (UN)SUBSCRIBE, PING and QUIT are allowed while subscribed"))
}
