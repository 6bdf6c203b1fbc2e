//! A key-value store that Redis clients talk to.
//!
//! ```text
//! $ cargo run -p towline --example kv &
//! $ printf 'PING\r\nSET a 1\r\nGET a\r\nDANCE\r\nQUIT\r\nGET a\r\n' | nc -q1 127.0.0.1 6379
//! +PONG
//! +OK
//! $1
//! 1
//! -ERR unknown command 'DANCE'
//! +OK
//! ```
//! The store is made once; each connection has a handle to it as its state, which is `&mut` in every handler.

use std::{
    collections::HashMap,
    env,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use towline::{
    Args, Builder, Close, Cx, Message, Out, ReplyError, Router, RunError, Server, Value,
    protocol::Resp, reply::Replies,
};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Resp, Kv>::new()
        .command("PING", ping)
        .command("GET", get)
        .command("SET", set)
        .command("SETNX", setnx)
        .command("GETSET", getset)
        .command("GETDEL", getdel)
        .command("MSET", mset)
        .command("DEL", del)
        .command("EXISTS", exists)
        .command("STRLEN", strlen)
        .command("INCR", |kv: &mut Kv, a: Args<'_>| a.exactly().and_then(|[key]| kv.add(key, 1)))
        .command("DECR", |kv: &mut Kv, a: Args<'_>| a.exactly().and_then(|[key]| kv.add(key, -1)))
        .command("INCRBY", |kv: &mut Kv, args: Args<'_>| add(kv, args, Some))
        .command("DECRBY", |kv: &mut Kv, args: Args<'_>| add(kv, args, i64::checked_neg))
        .command("DBSIZE", |kv: &mut Kv, _: Args<'_>| kv.map().len())
        .command("FLUSHDB", flush)
        .command("FLUSHALL", flush)
        .command("QUIT", |_: &mut Kv, _: Args<'_>| Close(Value::Ok))
        // What clients and benchmarks say first.
        .command("ECHO", |_: &mut Kv, a: Args<'_>| a.exactly().map(|[word]| Value::bulk(word)))
        .command("HELLO", hello)
        .command("SELECT", select)
        .command("CLIENT", client)
        .command("COMMAND", |_: &mut Kv, _: Args<'_>| Value::array([]))
        .command("CONFIG", config)
        .command("INFO", |_: &mut Kv, _: Args<'_>| "# Persistence\r\nloading:0\r\n");
    let kv = Kv::default();
    builder.frame_max(1 << 20).router(commands, move |_conn| kv.clone())
}

/// A value is shared, so that a reply does not copy it under the lock.
type Map = HashMap<Box<[u8]>, Arc<[u8]>>;

const NO_INTEGER: ReplyError = ReplyError::new("value is not an integer or out of range");

/// A connection's handle to the store.
#[derive(Clone, Default)]
struct Kv {
    store: Arc<Mutex<Map>>,
    /// Whether the client asked for version 3 of the protocol, in which nulls and maps have types of their own.
    resp3: bool,
}

impl Kv {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn or_null<T>(&self, value: Option<T>) -> OrNull<T> {
        OrNull { value, resp3: self.resp3 }
    }

    /// Begins a map of `len` names with their values; in version 2 it is an array.
    fn begin_map(&self, len: usize, cx: &mut Cx<'_, Resp>) {
        let head = if self.resp3 { format!("%{len}\r\n") } else { format!("*{}\r\n", 2 * len) };
        cx.raw(head.as_bytes());
    }

    /// Adds `number` to the value of `key`.
    fn add(&self, key: &[u8], number: i64) -> Result<i64, ReplyError> {
        let mut map = self.map();
        let old = map.get(key).map_or(Some(0), |old| str::from_utf8(old).ok()?.parse::<i64>().ok());
        let new = old.and_then(|old| old.checked_add(number)).ok_or(NO_INTEGER)?;
        map.insert(key.into(), new.to_string().into_bytes().into());
        Ok(new)
    }
}

/// A value, or null in the version of the connection.
struct OrNull<T> {
    value: Option<T>,
    resp3: bool,
}

impl<T: Message> Message for OrNull<T> {
    fn write_to<P: Replies>(self, out: &mut Out<'_, P>) {
        match self.value {
            None if self.resp3 => out.raw(b"_\r\n"),
            value => out.write(value),
        }
    }
}

/// What most commands that look for a key answer.
type Found = Result<OrNull<Arc<[u8]>>, ReplyError>;

fn ping(_: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    Ok(args.parse::<Option<&[u8]>>()?.map_or(Value::Simple("PONG"), Value::bulk))
}

fn get(kv: &mut Kv, args: Args<'_>) -> Found {
    let [key] = args.exactly()?;
    let value = kv.map().get(key).cloned();
    Ok(kv.or_null(value))
}

/// `SET key value [NX | XX]`. Nothing expires, so options that say when are refused.
fn set(kv: &mut Kv, args: Args<'_>) -> Result<OrNull<Value>, ReplyError> {
    let ([key, value], options) = args.at_least()?;
    let must_exist = match options.parse::<Option<&[u8]>>() {
        Ok(None) => None,
        Ok(Some(option)) if option.eq_ignore_ascii_case(b"NX") => Some(false),
        Ok(Some(option)) if option.eq_ignore_ascii_case(b"XX") => Some(true),
        _ => return Err(ReplyError::new("syntax error")),
    };
    let mut map = kv.map();
    if must_exist.is_some_and(|exists| exists != map.contains_key(key)) {
        return Ok(kv.or_null(None));
    }
    map.insert(key.into(), value.into());
    Ok(kv.or_null(Some(Value::Ok)))
}

fn setnx(kv: &mut Kv, args: Args<'_>) -> Result<i64, ReplyError> {
    let [key, value] = args.exactly()?;
    let mut map = kv.map();
    let free = !map.contains_key(key);
    if free {
        map.insert(key.into(), value.into());
    }
    Ok(free.into())
}

fn getset(kv: &mut Kv, args: Args<'_>) -> Found {
    let [key, value] = args.exactly()?;
    let old = kv.map().insert(key.into(), value.into());
    Ok(kv.or_null(old))
}

fn getdel(kv: &mut Kv, args: Args<'_>) -> Found {
    let [key] = args.exactly()?;
    let old = kv.map().remove(key);
    Ok(kv.or_null(old))
}

fn mset(kv: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    let count = args.iter().count();
    if count == 0 || count % 2 == 1 {
        return Err(args.wrong_number());
    }
    let (mut map, mut args) = (kv.map(), args.iter());
    while let (Some(key), Some(value)) = (args.next(), args.next()) {
        map.insert(key.into(), value.into());
    }
    Ok(Value::Ok)
}

fn del(kv: &mut Kv, args: Args<'_>) -> usize {
    let mut map = kv.map();
    args.iter().filter(|key| map.remove(*key).is_some()).count()
}

fn exists(kv: &mut Kv, args: Args<'_>) -> usize {
    let map = kv.map();
    args.iter().filter(|key| map.contains_key(*key)).count()
}

fn strlen(kv: &mut Kv, args: Args<'_>) -> Result<usize, ReplyError> {
    let [key] = args.exactly()?;
    Ok(kv.map().get(key).map_or(0, |value| value.len()))
}

/// `INCRBY key number`, and `DECRBY`.
fn add(kv: &mut Kv, args: Args<'_>, sign: fn(i64) -> Option<i64>) -> Result<i64, ReplyError> {
    let [key, number] = args.exactly()?;
    let number = str::from_utf8(number).ok().and_then(|number| sign(number.parse().ok()?));
    kv.add(key, number.ok_or(NO_INTEGER)?)
}

fn flush(kv: &mut Kv, _: Args<'_>) -> Value {
    kv.map().clear();
    Value::Ok
}

/// `HELLO [2 | 3]`: which version of the protocol the client speaks. Some ask for that of the server, too.
fn hello(kv: &mut Kv, args: Args<'_>, cx: &mut Cx<'_, Resp>) -> Result<(), ReplyError> {
    match args.iter().next() {
        None => {}
        Some(b"2") => kv.resp3 = false,
        Some(b"3") => kv.resp3 = true,
        Some(_) => return Err(ReplyError::of("NOPROTO", "unsupported protocol version")),
    }
    kv.begin_map(3, cx);
    ["server", "towline", "version", "6.0.0", "proto"].into_iter().for_each(|word| cx.write(word));
    cx.write(if kv.resp3 { 3 } else { 2 });
    Ok(())
}

fn select(_: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    match args.exactly()? {
        [b"0"] => Ok(Value::Ok),
        _ => Err(ReplyError::new("DB index is out of range")),
    }
}

/// `CLIENT SETINFO` and `CLIENT SETNAME`: what a client calls itself, which is not kept.
fn client(_: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    let ([command], _) = args.at_least()?;
    match &command.to_ascii_uppercase()[..] {
        b"SETINFO" | b"SETNAME" => Ok(Value::Ok),
        _ => Err(ReplyError::new("unknown subcommand")),
    }
}

/// `CONFIG GET name`: benchmarks ask what is written to a disk, and nothing is.
fn config(kv: &mut Kv, args: Args<'_>, cx: &mut Cx<'_, Resp>) -> Result<(), ReplyError> {
    match args.exactly()? {
        [get, name] if get.eq_ignore_ascii_case(b"GET") => {
            kv.begin_map(1, cx);
            cx.write(name);
            cx.write("");
            Ok(())
        }
        _ => Err(ReplyError::new("unknown subcommand")),
    }
}
