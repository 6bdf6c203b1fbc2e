//! A cache that memcached clients talk to, in text. It expires no value, and takes no more when it is full.
//!
//! ```text
//! $ cargo run -p towline --example memcached &
//! $ printf 'set a 7 0 2\r\nhi\r\nget a b\r\nset n 0 0 1 noreply\r\n1\r\nincr n 41\r\ndelete b\r\ndance\r\nquit\r\n' | nc -q1 127.0.0.1 11211
//! STORED
//! VALUE a 7 2
//! hi
//! END
//! 42
//! NOT_FOUND
//! ERROR
//! ```

use std::{
    collections::HashMap,
    env, iter,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::stream;
use towline::{
    Args, Builder, Close, ReplyError, ReplyStream, Router, RunError, Server,
    protocol::{Head, LineWithBody},
};

const FRAME_BYTES_MAX: usize = 1 << 20;
const ITEMS_MAX: usize = 10_000;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:11211".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<LineWithBody<Memcached>, Cache>::new()
        .exact_case()
        .command("get", get)
        .command("set", |cache: &mut Cache, args: Args<'_>| store(cache, args, false))
        .command("add", |cache: &mut Cache, args: Args<'_>| store(cache, args, true))
        .command("delete", delete)
        .command("incr", incr)
        .command("version", |_: &mut Cache, _: Args<'_>| "VERSION towline")
        .command("quit", |_: &mut Cache, _: Args<'_>| Close(()))
        .fallback(|_: &mut Cache, _: Args<'_>| "ERROR");
    let cache = Cache::default();
    builder.frame_max(FRAME_BYTES_MAX).router(commands, move |_conn| cache.clone())
}

/// Which lines announce a value: `set KEY FLAGS EXPTIME BYTES [noreply]`, and `add`.
enum Memcached {}

impl Head for Memcached {
    fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
        let args = Args::words(line);
        if !matches!(args.verb(), b"set" | b"add") {
            return Ok(None);
        }
        let bytes = args.iter().nth(3).and_then(|bytes| str::from_utf8(bytes).ok()?.parse().ok());
        bytes.map(Some).ok_or("expected the length of a value")
    }

    fn error_text(error: &ReplyError) -> String {
        format!("CLIENT_ERROR {}", error.text())
    }
}

type Items = HashMap<Box<[u8]>, (u32, Arc<[u8]>)>;
type Cache = Arc<Mutex<Items>>;

fn items(cache: &Cache) -> MutexGuard<'_, Items> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One value after another, as the client takes them: a line may name more than fit into memory.
fn get(cache: &mut Cache, args: Args<'_>) -> ReplyStream {
    let (cache, keys) = (cache.clone(), args.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
    let values = keys.into_iter().filter_map(move |key| {
        let (flags, value) = items(&cache).get(&key[..]).cloned()?;
        let head = format!(" {flags} {}\r\n", value.len());
        Some([b"VALUE ", &key[..], head.as_bytes(), &value, b"\r\n"].concat().into())
    });
    let end = iter::once(b"END\r\n".as_slice().into());
    ReplyStream::new(stream::iter(values.chain(end).map(Ok::<_, ReplyError>)))
}

type Said = Result<Vec<String>, ReplyError>;

/// A reply, unless the client wants none.
fn said(word: impl Into<String>, noreply: Option<&[u8]>) -> Said {
    Ok(if noreply.is_some() { vec![] } else { vec![word.into()] })
}

fn store(cache: &mut Cache, args: Args<'_>, only_new: bool) -> Said {
    let (key, flags, _, _, noreply): (&[u8], u32, i64, usize, _) = args.parse()?;
    let mut items = items(cache);
    if items.get(key).map_or(items.len() >= ITEMS_MAX, |_| only_new) {
        return said("NOT_STORED", noreply);
    }
    items.insert(key.into(), (flags, args.body().unwrap_or_default().into()));
    said("STORED", noreply)
}

fn delete(cache: &mut Cache, args: Args<'_>) -> Said {
    let (key, noreply): (&[u8], _) = args.parse()?;
    let deleted = items(cache).remove(key).is_some();
    said(if deleted { "DELETED" } else { "NOT_FOUND" }, noreply)
}

fn incr(cache: &mut Cache, args: Args<'_>) -> Said {
    const WRONG: ReplyError = ReplyError::new("cannot increment or decrement non-numeric value");
    let (key, by, noreply): (&[u8], u64, _) = args.parse()?;
    let mut items = items(cache);
    let Some((_, value)) = items.get_mut(key) else { return said("NOT_FOUND", noreply) };
    let old: u64 = str::from_utf8(value).ok().and_then(|old| old.parse().ok()).ok_or(WRONG)?;
    let new = old.wrapping_add(by).to_string();
    *value = new.as_bytes().into();
    said(new, noreply)
}
