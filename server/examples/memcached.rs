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

const FRAME_BYTES_MAX: usize = 2 << 20;
const VALUE_BYTES_MAX: usize = 1 << 20;
const KEY_BYTES_MAX: usize = 250;
const ITEMS_MAX: usize = 10_000;

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:11211".to_owned());
    server(Server::builder().listen(&address)).run().map(drop)
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let commands = Router::<LineWithBody<Memcached>, Cache>::new()
        .exact_case()
        .command("get", |cache: &mut Cache, args: Args<'_>| get(cache, args, false))
        .command("gets", |cache: &mut Cache, args: Args<'_>| get(cache, args, true))
        .command("set", store)
        .command("add", store)
        .command("replace", store)
        .command("append", store)
        .command("prepend", store)
        .command("cas", store)
        .command("delete", delete)
        .command("incr", count)
        .command("decr", count)
        .command("flush_all", flush_all)
        .command("verbosity", verbosity)
        .command("stats", |cache: &mut Cache, args: Args<'_>| -> Result<[String; 2], ReplyError> {
            args.parse::<()>()?;
            Ok([format!("STAT curr_items {}", cache.items().by_key.len()), "END".to_owned()])
        })
        .command("version", |_: &mut Cache, args: Args<'_>| {
            args.parse().map(|()| concat!("VERSION ", env!("CARGO_PKG_VERSION")))
        })
        .command("quit", |_: &mut Cache, args: Args<'_>| args.parse().map(Close::<()>))
        .fallback(|_: &mut Cache, _: Args<'_>| "ERROR");
    let cache = Cache::default();
    builder.frame_max(FRAME_BYTES_MAX).router(commands, move |_conn| cache.clone())
}

/// Which lines announce a value: `set KEY FLAGS EXPTIME BYTES [noreply]`, and others of that form.
enum Memcached {}

impl Head for Memcached {
    fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
        let args = Args::words(line);
        if !matches!(args.verb(), b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas") {
            return Ok(None);
        }
        let bytes = args.iter().nth(3).and_then(|bytes| str::from_utf8(bytes).ok()?.parse().ok());
        bytes.map(Some).ok_or("expected the length of a value")
    }

    fn error_text(error: &ReplyError) -> String {
        match error.kind() {
            "ERR" => format!("CLIENT_ERROR {}", error.text()),
            kind => format!("{kind} {}", error.text()),
        }
    }
}

#[derive(Clone)]
struct Item {
    flags: u32,
    value: Arc<[u8]>,
    /// Another one after each change.
    version: u64,
}

#[derive(Default)]
struct Items {
    by_key: HashMap<Box<[u8]>, Item>,
    /// The version of the item that changed last.
    version: u64,
}

impl Items {
    fn put(&mut self, key: &[u8], flags: u32, value: Arc<[u8]>) {
        self.version += 1;
        self.by_key.insert(key.into(), Item { flags, value, version: self.version });
    }
}

/// A connection's handle to the items.
#[derive(Clone, Default)]
struct Cache(Arc<Mutex<Items>>);

impl Cache {
    fn items(&self) -> MutexGuard<'_, Items> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Said = Result<Vec<String>, ReplyError>;

/// A reply, unless the client wants none.
fn said(word: impl Into<String>, noreply: Option<&[u8]>) -> Said {
    Ok(if noreply.is_some() { vec![] } else { vec![word.into()] })
}

/// One value after another, as the client takes them: a line may name more than fit into memory.
fn get(cache: &mut Cache, args: Args<'_>, with_version: bool) -> Result<ReplyStream, ReplyError> {
    args.at_least::<1>()?;
    let (cache, keys) = (cache.clone(), args.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
    let values = keys.into_iter().filter_map(move |key| {
        let Item { flags, value, version } = cache.items().by_key.get(&key[..]).cloned()?;
        let version = if with_version { format!(" {version}") } else { String::new() };
        let head = format!(" {flags} {}{version}\r\n", value.len());
        Some([b"VALUE ", &key[..], head.as_bytes(), &value, b"\r\n"].concat().into())
    });
    let end = iter::once(b"END\r\n".as_slice().into());
    Ok(ReplyStream::new(stream::iter(values.chain(end).map(Ok::<_, ReplyError>))))
}

/// The six commands that have a value.
fn store(cache: &mut Cache, args: Args<'_>) -> Said {
    const FULL: ReplyError = ReplyError::of("SERVER_ERROR", "object too large for cache");
    type Words<'a> = (&'a [u8], u32, i64, usize);
    let ((key, flags, ..), version, noreply): (Words<'_>, _, _) = match args.verb() {
        b"cas" => {
            let (key, flags, exptime, bytes, version, noreply) = args.parse()?;
            ((key, flags, exptime, bytes), Some(version), noreply)
        }
        _ => {
            let (key, flags, exptime, bytes, noreply) = args.parse()?;
            ((key, flags, exptime, bytes), None::<u64>, noreply)
        }
    };
    if key.len() > KEY_BYTES_MAX {
        return Err(ReplyError::new("key too long"));
    }
    let (mut items, value) = (cache.items(), args.body().unwrap_or_default());
    let old = items.by_key.get(key).cloned();
    let (flags, value) = match (args.verb(), old) {
        (b"cas", None) => return said("NOT_FOUND", noreply),
        (b"cas", Some(old)) if version != Some(old.version) => return said("EXISTS", noreply),
        (b"add", Some(_)) | (b"replace" | b"append" | b"prepend", None) => {
            return said("NOT_STORED", noreply);
        }
        (b"append", Some(old)) => (old.flags, [&old.value, value].concat()),
        (b"prepend", Some(old)) => (old.flags, [value, &old.value].concat()),
        (_, None) if items.by_key.len() >= ITEMS_MAX => return said("NOT_STORED", noreply),
        _ => (flags, value.to_vec()),
    };
    if value.len() > VALUE_BYTES_MAX {
        return Err(FULL);
    }
    items.put(key, flags, value.into());
    said("STORED", noreply)
}

fn delete(cache: &mut Cache, args: Args<'_>) -> Said {
    let (key, noreply): (&[u8], _) = args.parse()?;
    let deleted = cache.items().by_key.remove(key).is_some();
    said(if deleted { "DELETED" } else { "NOT_FOUND" }, noreply)
}

/// `incr` and `decr`, which ends at zero.
fn count(cache: &mut Cache, args: Args<'_>) -> Said {
    const WRONG: ReplyError = ReplyError::new("cannot increment or decrement non-numeric value");
    let (key, by, noreply): (&[u8], u64, _) = args.parse()?;
    let mut items = cache.items();
    let Some(Item { flags, value, .. }) = items.by_key.get(key) else {
        return said("NOT_FOUND", noreply);
    };
    let old: u64 = str::from_utf8(value).ok().and_then(|old| old.parse().ok()).ok_or(WRONG)?;
    let up = args.verb() == b"incr";
    let new = if up { old.wrapping_add(by) } else { old.saturating_sub(by) }.to_string();
    let flags = *flags;
    items.put(key, flags, new.as_bytes().into());
    said(new, noreply)
}

/// `flush_all [DELAY] [noreply]`: nothing happens later here, so a delay is refused.
fn flush_all(cache: &mut Cache, args: Args<'_>) -> Said {
    let noreply = match args.parse::<(Option<&[u8]>, Option<&[u8]>)>()? {
        (noreply @ (None | Some(b"noreply")), None) => noreply,
        (Some(b"0"), noreply) => noreply,
        _ => return Err(ReplyError::new("delayed flush is not supported")),
    };
    cache.items().by_key.clear();
    said("OK", noreply)
}

/// `verbosity [LEVEL] [noreply]`: there is no log to make longer.
fn verbosity(_: &mut Cache, args: Args<'_>) -> Said {
    if args.rest() == b"noreply" {
        return Ok(vec![]);
    }
    let (_level, noreply): (u32, _) = args.parse()?;
    said("OK", noreply)
}
