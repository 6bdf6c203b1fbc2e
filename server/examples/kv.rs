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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use towline::{Args, Builder, Close, ReplyError, Router, RunError, Server, Value, protocol::Resp};

fn main() -> Result<(), RunError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<Resp, Kv>::new()
        .command("PING", ping)
        .command("GET", get)
        .command("SET", set)
        .command("DEL", del)
        .command("INCR", incr)
        .command("QUIT", |_: &mut Kv, _: Args<'_>| Close(Value::Ok))
        // What clients and benchmarks say first.
        .command("ECHO", |_: &mut Kv, a: Args<'_>| a.exactly().map(|[word]| Value::bulk(word)))
        .command("SELECT", |_: &mut Kv, _: Args<'_>| Value::Ok)
        .command("CLIENT", |_: &mut Kv, _: Args<'_>| Value::Ok)
        .command("COMMAND", |_: &mut Kv, _: Args<'_>| Value::array([]))
        .command("CONFIG", config);
    let kv = Kv::default();
    builder.frame_max(1 << 20).router(commands, move |_conn| kv.clone())
}

/// A value is shared, so that a reply does not copy it under the lock.
type Map = HashMap<Box<[u8]>, Arc<[u8]>>;

/// A connection's handle to the store.
#[derive(Clone, Default)]
struct Kv(Arc<Mutex<Map>>);

impl Kv {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ping(_: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    Ok(args.parse::<Option<&[u8]>>()?.map_or(Value::Simple("PONG"), Value::bulk))
}

fn get(kv: &mut Kv, args: Args<'_>) -> Result<Option<Arc<[u8]>>, ReplyError> {
    let [key] = args.exactly()?;
    Ok(kv.map().get(key).cloned())
}

fn set(kv: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    let [key, value] = args.exactly()?;
    kv.map().insert(key.into(), value.into());
    Ok(Value::Ok)
}

fn del(kv: &mut Kv, args: Args<'_>) -> usize {
    let mut map = kv.map();
    args.iter().filter(|key| map.remove(*key).is_some()).count()
}

fn incr(kv: &mut Kv, args: Args<'_>) -> Result<i64, ReplyError> {
    const WRONG: ReplyError = ReplyError::new("value is not an integer or out of range");
    let [key] = args.exactly()?;
    let mut map = kv.map();
    let old = map.get(key).map_or(Some(0), |old| str::from_utf8(old).ok()?.parse::<i64>().ok());
    let new = old.and_then(|old| old.checked_add(1)).ok_or(WRONG)?;
    map.insert(key.into(), new.to_string().into_bytes().into());
    Ok(new)
}

fn config(_: &mut Kv, args: Args<'_>) -> Result<Value, ReplyError> {
    args.exactly().map(|[_get, name]| Value::array([Value::bulk(name), Value::bulk("")]))
}
