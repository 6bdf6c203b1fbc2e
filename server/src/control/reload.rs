//! Loading the configuration again, as SIGHUP does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Controllable, Refused, body, unless_draining};
use crate::lifecycle::reload;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

pub(super) async fn run(server: &impl Controllable, body: &[u8]) -> Result<Value, Refused> {
    let Arguments {} = body::read(body, "{}")?;
    unless_draining(server)?;
    let Some(loader) = server.state().remote.loader() else {
        return Err(Refused::now_is_no_time(
            "the program that this server is part of has no configuration to load",
        ));
    };
    let pending = reload::reload(loader, server).await;
    let pending = pending.map_err(|why| {
        Refused::invalid(format!("configuration not reloaded: {}", why.join("; ")))
    })?;
    let pending: Vec<_> = pending.iter().map(ToString::to_string).collect();
    let set: Vec<_> = server.state().layers().set.keys().collect();
    Ok(json!({ "needing_restart": pending, "set_at_run_time": set }))
}
