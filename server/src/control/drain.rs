//! Draining the server, as SIGTERM does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Controllable, Refused, body, unless_draining};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

pub(super) fn run(server: &impl Controllable, body: &[u8]) -> Result<Value, Refused> {
    let Arguments {} = body::read(body, "{}")?;
    unless_draining(server)?;
    let state = server.state();
    let connections = state.slots.connections();
    if !state.remote.ask_to_drain() {
        return Err(Refused::now_is_no_time(
            "this server is drained by the program that it is part of",
        ));
    }
    Ok(json!({ "connections": connections }))
}
