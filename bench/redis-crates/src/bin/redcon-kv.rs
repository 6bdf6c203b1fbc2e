//! The key-value store of the README of the crate `redcon`, at the address that is its argument.

use std::{collections::HashMap, sync::Mutex};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Db = Mutex<HashMap<Vec<u8>, Vec<u8>>>;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let listening = redcon::listen(&address, Db::default());
    let mut server = listening.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    server.command = Some(|conn, db, args| {
        let name = String::from_utf8_lossy(&args[0]).to_lowercase();
        let Ok(mut db) = db.lock() else { return conn.write_error("ERR a command panicked") };
        match (name.as_str(), &args[1..]) {
            ("ping", _) => conn.write_string("PONG"),
            ("set", [key, value, ..]) => {
                db.insert(key.clone(), value.clone());
                conn.write_string("OK");
            }
            ("get", [key]) => match db.get(key) {
                Some(value) => conn.write_bulk(value),
                None => conn.write_null(),
            },
            _ => conn.write_error("ERR unknown command or wrong number of arguments"),
        }
    });
    server.serve().map_err(|error| std::io::Error::other(format!("{error:?}")))
}
