//! A key-value store: shared state, and a session a connection.
//!
//! ```text
//! $ cargo run -p towline --example kv &
//! $ printf 'GET a\nAUTH sesame\nSET a 1\nGET a\nDEL a\nGET a\nDANCE\n' | nc -q1 127.0.0.1 9000
//! ERR say AUTH first
//! OK
//! OK
//! 1
//! OK
//! NIL
//! ERR expected AUTH, GET, SET or DEL
//! ```
//!
//! What all connections share (the store) is made once and cloned into each; what one connection
//! keeps for itself (is it allowed in?) is made in `serve_with`, once for each. A service is cloned
//! for each batch, so both live in an `Arc`.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tower::Service;
use towline::{EachLine, Line, Lines, RunError, Server, service_fn};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let store = Store::default();
    Server::builder()
        .listen(&address)
        .serve_with(move |_peer| session(store.clone()))
        .run()
        .map(drop)
}

/// What all connections share.
#[derive(Debug, Clone, Default)]
pub struct Store(Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>);

/// The service of one connection.
pub fn session(
    store: Store,
) -> impl Service<Lines, Response = Lines, Error = towline::BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let session = Arc::new(Session { store, allowed: AtomicBool::new(false) });
    EachLine::new(service_fn(move |line: Line| {
        let reply = session.answer(&line);
        async move { Ok::<_, Infallible>(reply) }
    }))
}

#[derive(Debug)]
struct Session {
    store: Store,
    allowed: AtomicBool,
}

impl Session {
    /// One line, one reply. It never waits, so it needs no future of its own.
    fn answer(&self, line: &[u8]) -> Vec<u8> {
        // Peers that end lines in CRLF are welcome: in batch framing the CR belongs to the line.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let command = words.next().unwrap_or_default();
        let (key, value) = (words.next(), words.next());
        if command == b"AUTH" {
            let right = key == Some(b"sesame");
            self.allowed.store(right, Relaxed);
            return if right { b"OK".into() } else { b"ERR wrong word".into() };
        }
        if !self.allowed.load(Relaxed) {
            return b"ERR say AUTH first".into();
        }
        let mut entries = self.store.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (command, key, value) {
            (b"GET", Some(key), None) => entries.get(key).cloned().unwrap_or_else(|| b"NIL".into()),
            (b"SET", Some(key), Some(value)) => {
                // Copies: a slice of the line would keep the whole read block alive.
                entries.insert(key.to_vec(), value.to_vec());
                b"OK".into()
            }
            (b"DEL", Some(key), None) => {
                let removed = entries.remove(key);
                if removed.is_some() { b"OK".into() } else { b"NIL".into() }
            }
            _ => b"ERR expected AUTH, GET, SET or DEL".into(),
        }
    }
}
