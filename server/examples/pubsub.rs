//! Publish and subscribe that Redis clients talk to.
//!
//! ```text
//! $ cargo run --release -p towline --example pubsub &
//! $ redis-cli subscribe news &
//! $ redis-cli publish news hello
//! ```
//! As in version 2 of Redis' protocol, a connection that is subscribed may only say `SUBSCRIBE`, `UNSUBSCRIBE`,
//! `PING` and `QUIT`. A message is encoded once for all subscribers; one that does not keep up is closed.

use std::collections::HashMap;
use towline::{
    Args, Builder, Close, Cx, Membership, ReplyError, Router, RunError, Server, SlowConsumer,
    Topics, Value, protocol::Resp,
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
            free.before(is_not_subscribed)
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
    let topics = Topics::new(SlowConsumer::Disconnect);
    builder
        .frame_max(1 << 20)
        .router(commands, move |_conn| Client { topics: topics.clone(), joined: HashMap::new() })
}

/// One connection.
struct Client {
    topics: Topics<Resp>,
    joined: HashMap<Box<[u8]>, Membership>,
}

fn subscribe(client: &mut Client, args: Args<'_>, cx: &mut Cx<'_, Resp>) -> Result<(), ReplyError> {
    args.at_least::<1>()?;
    for name in args.iter() {
        let Client { topics, joined } = client;
        joined.entry(name.into()).or_insert_with(|| topics.join(name, cx.conn()));
        // Before the first message, whatever other threads do meanwhile.
        cx.write(Event("subscribe", Some(name), joined.len()).value());
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
        cx.write(Event("unsubscribe", None, 0).value());
    }
    for name in names {
        client.joined.remove(name);
        cx.write(Event("unsubscribe", Some(name), client.joined.len()).value());
    }
}

/// What a client is told of its subscriptions: what happened, to which, and how many there are.
struct Event<'a>(&'static str, Option<&'a [u8]>, usize);

impl Event<'_> {
    fn value(&self) -> Value {
        let Self(what, name, count) = self;
        let name = name.map_or(Value::Null, Value::bulk);
        Value::array([Value::bulk(what), name, Value::Int(*count as i64)])
    }
}

fn publish(client: &mut Client, args: Args<'_>) -> Result<usize, ReplyError> {
    let [name, text] = args.exactly()?;
    Ok(client.topics.send(name, [&b"message"[..], name, text])?)
}

fn pubsub(client: &mut Client, args: Args<'_>) -> Result<Value, ReplyError> {
    let ([what], names) = args.at_least()?;
    if !what.eq_ignore_ascii_case(b"NUMSUB") {
        return Err(ReplyError::new("only PUBSUB NUMSUB is known"));
    }
    let counts = names.iter().flat_map(|name| {
        let members = client.topics.get(name).map_or(0, |topic| topic.len());
        [Value::bulk(name), Value::Int(members as i64)]
    });
    Ok(Value::array(counts))
}

fn ping(client: &mut Client, args: Args<'_>) -> Result<Value, ReplyError> {
    let word: Option<&[u8]> = args.parse()?;
    Ok(match word {
        _ if !client.joined.is_empty() => {
            Value::array([Value::bulk("pong"), Value::bulk(word.unwrap_or_default())])
        }
        Some(word) => Value::bulk(word),
        None => Value::Simple("PONG"),
    })
}

fn is_not_subscribed(
    client: &mut Client,
    _: Args<'_>,
    _: &mut Cx<'_, Resp>,
) -> Result<(), ReplyError> {
    if client.joined.is_empty() {
        return Ok(());
    }
    Err(ReplyError::new("only (UN)SUBSCRIBE, PING and QUIT are allowed while subscribed"))
}
