//! Closing connections: by id at once, by conditions after a question.

use serde_json::{Value, json};

use super::{Failure, ask, command::Kill, connections, number, target::Server};

/// Sends the command. Returns what is printed.
pub(super) fn run(server: &Server, kill: &Kill, json: bool) -> Result<String, Failure> {
    let Some(conditions) = &kill.matching else {
        let answer = server.command("kill", &json!({ "ids": kill.ids, "at_once": kill.now }))?;
        return said(&answer, json);
    };
    let body =
        |dry_run: bool| json!({ "match": conditions, "at_once": kill.now, "dry_run": dry_run });
    if !kill.yes {
        let answer = server.command("kill", &body(true))?;
        let (matched, open) = (number(&answer, "matched"), number(&answer, "open"));
        if matched == 0 {
            return said(&answer, json);
        }
        let question = format!("closes {matched} of {}: go on?", connections(open));
        if !ask::can_ask() {
            return Err(Failure::usage(format!(
                "{question} There is no terminal to ask on: add --yes if so"
            )));
        }
        // One connection, of several, is what was asked for.
        if (matched > 1 || matched == open) && !ask::consents(&question) {
            return Err(Failure::failed("no connection was closed"));
        }
    }
    said(&server.command("kill", &body(false))?, json)
}

/// Most ids that are named in a sentence.
const NAMED_MAX: usize = 10;

fn said(answer: &Value, json: bool) -> Result<String, Failure> {
    let partial = answer.get("partial").and_then(Value::as_bool).unwrap_or(false);
    let missing = answer.get("missing").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !missing.is_empty() && !json {
        let mut names: Vec<_> = missing.iter().filter_map(Value::as_str).take(NAMED_MAX).collect();
        if missing.len() > NAMED_MAX {
            names.push("…");
        }
        let closed = connections(number(answer, "closed"));
        let names = names.join(", ");
        let what = if partial {
            "a worker process did not answer; not open, or not closed"
        } else {
            "no such connection"
        };
        return Err(Failure::failed(format!("{what}: {names} (closing {closed})")));
    }
    if json {
        let text = format!("{answer}\n");
        return Ok(text);
    }
    let partial = if partial { ", and a worker process did not answer" } else { "" };
    Ok(match (number(answer, "closed"), number(answer, "matched")) {
        (_, 0) => format!("no connection matches{partial}\n"),
        (closed, _) => format!("closing {}{partial}\n", connections(closed)),
    })
}
