//! Settings set at run time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use towline_config::{Effective, Key, RunTimeSettings};

use super::{Controllable, Refused, body, unless_draining};
use crate::lifecycle::Wanted;

const EXAMPLE: &str = r#"{"limits.connections":"5000"}"#;

/// Most keys in one command: more than there are.
const KEYS_MAX: usize = 256;

pub(super) async fn run(server: &impl Controllable, body: &[u8]) -> Result<Value, Refused> {
    let given: Map<String, Value> = body::read(body, EXAMPLE)?;
    if given.is_empty() || given.len() > KEYS_MAX {
        return Err(Refused::invalid(format!(
            "{} keys are given: expected {EXAMPLE}",
            given.len()
        )));
    }
    unless_draining(server)?;
    let settings: Result<Vec<_>, _> = given.into_iter().map(text).collect();
    apply(server, &settings?).await
}

/// The text of a value; `None` withdraws what was set.
fn text((key, value): (String, Value)) -> Result<(String, Option<String>), Refused> {
    let text = match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Array(_) | Value::Object(_) => {
            let key: String = key.escape_debug().take(64).collect();
            return Err(Refused::invalid(format!(
                "the value of {key} is a list or an object: expected a string, a number, true, \
                 false, or null to withdraw it"
            )));
        }
    };
    Ok((key, text))
}

/// Sets each key to its text, or withdraws it: all of them or none. Answers with the values in force and
/// their origins.
pub(super) async fn apply(
    server: &impl Controllable,
    settings: &[(String, Option<String>)],
) -> Result<Value, Refused> {
    let state = server.state();
    let mut scratch = RunTimeSettings::default();
    let mut keys: BTreeMap<&'static str, &'static Key> = BTreeMap::new();
    for (name, text) in settings {
        let key = scratch.set(name, text.as_deref());
        let key = key.map_err(|errors| Refused::invalid(errors.to_string()))?;
        keys.insert(key.name, key);
    }
    let before = state.effective();
    server.apply(&Wanted::Set(settings)).await?;
    let now = state.effective();
    // A log that becomes quieter says so while it is still loud, one that becomes louder after that.
    let log = || keys.values().for_each(|key| log_change(key, &before, &now));
    let is_quieter = before.settings.log.level as u8 > now.settings.log.level as u8;
    if is_quieter {
        log();
    }
    if let Some(loader) = state.remote.loader() {
        loader.applied(&now.settings);
    }
    if !is_quieter {
        log();
    }
    let all = now.to_json();
    let entries = keys.keys().filter_map(|name| Some(((*name).to_owned(), all.get(name)?.clone())));
    Ok(json!({ "set": Map::from_iter(entries) }))
}

fn log_change(key: &Key, before: &Effective, now: &Effective) {
    tracing::info!(
        key = key.name,
        value = %key.value(&now.settings),
        before = %key.value(&before.settings),
        origin = now.origin(key),
        "setting changed"
    );
}
