//! The arguments and answers of `set`, `log` and `reload`.

use serde_json::{Map, Value};

use super::Failure;

/// The arguments of the command `set`.
pub(super) fn body(settings: &[String]) -> Result<Value, Failure> {
    let mut body = Map::new();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!(
                "{setting:?} is no setting: expected KEY=VALUE, such as limits.connections=5000"
            )));
        };
        // No key takes an empty value.
        let value = if value.is_empty() { Value::Null } else { value.into() };
        if body.insert(key.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("{key} is given twice: give it once")));
        }
    }
    Ok(Value::Object(body))
}

/// A line for each setting that was changed.
pub(super) fn said(answer: &Value) -> String {
    let entries = answer.get("set").and_then(Value::as_object).into_iter().flatten();
    let line = |(key, entry): (&String, &Value)| {
        let origin = entry.get("origin").and_then(Value::as_str).unwrap_or("unknown");
        format!("{key} = {}  # {origin}\n", entry.get("value").unwrap_or(&Value::Null))
    };
    entries.map(line).collect()
}

/// What a reload came to.
pub(super) fn reloaded(answer: &Value) -> String {
    let list = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut text = String::from("configuration reloaded\n");
    for pending in list("needing_restart").filter_map(Value::as_str) {
        text += &format!("{pending}\n");
    }
    for key in list("set_at_run_time").filter_map(Value::as_str) {
        text += &format!(
            "{key} is still as it was set at run time: `towline ctl set {key}=` withdraws it\n"
        );
    }
    text
}
