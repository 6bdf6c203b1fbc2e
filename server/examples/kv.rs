//! A key-value store: state that all connections share, and state of each connection.
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
//! The store is made once and shared by all connections. A session is made in `serve_with`, once per
//! connection. A service is cloned for each batch, so both are in an `Arc`.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use towline::{Builder, EachLine, Line, RunError, Server, service_fn};

fn main() -> Result<(), RunError> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    server(Server::builder().listen(&address)).run()?;
    Ok(())
}

/// The server, with the settings of `builder`.
pub fn server(builder: Builder) -> Server {
    let store = Store::default();
    builder.serve_with(move |_peer| {
        let session = Arc::new(Session { store: store.clone(), allowed: AtomicBool::new(false) });
        EachLine::new(service_fn(move |line: Line| {
            let reply = session.answer(&line);
            async move { Ok::<_, Infallible>(reply) }
        }))
    })
}

/// The state that all connections share.
type Store = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// The state of one connection.
struct Session {
    store: Store,
    allowed: AtomicBool,
}

impl Session {
    /// The reply to one line. It never waits, so it needs no future of its own.
    fn answer(&self, line: &[u8]) -> Vec<u8> {
        // A client may end lines in CRLF: in batch framing the CR belongs to the line.
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
        let mut entries = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match (command, key, value) {
            (b"GET", Some(key), None) => entries.get(key).cloned().unwrap_or_else(|| b"NIL".into()),
            (b"SET", Some(key), Some(value)) => {
                // Copies: a slice of the line would keep the memory of its whole batch.
                entries.insert(key.to_vec(), value.to_vec());
                b"OK".into()
            }
            (b"DEL", Some(key), None) => match entries.remove(key) {
                Some(_) => b"OK".into(),
                None => b"NIL".into(),
            },
            _ => b"ERR expected AUTH, GET, SET or DEL".into(),
        }
    }
}
