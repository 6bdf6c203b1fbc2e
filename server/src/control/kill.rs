//! Closing connections, by id or by conditions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Controllable as _, Matching, Refused, Target, body};
use crate::{
    connections::{Closing, Filter},
    counts::PublicId,
    lifecycle::reload::Reloadable as _,
};

const EXAMPLE: &str = r#"{"ids":["0-17"]} or {"match":"state=write_wait","dry_run":true}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    ids: Option<Vec<String>>,
    #[serde(rename = "match")]
    matching: Option<String>,
    #[serde(default)]
    at_once: bool,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn run(target: &impl Target, body: &[u8]) -> Result<Value, Refused> {
    let Arguments { ids, matching, at_once, dry_run } = body::read(body, EXAMPLE)?;
    let server = target.server();
    let open = server.state().slots.connections();
    let Matching { mut ids, mut partial } = match (ids, matching) {
        (Some(ids), None) => {
            let ids: Result<Vec<PublicId>, _> = ids.iter().map(|id| id.parse()).collect();
            let ids = ids.map_err(|error| Refused::invalid(error.to_string()))?;
            Matching { ids, partial: false }
        }
        (None, Some(conditions)) => {
            let filter = Filter::parse(&conditions);
            let filter = filter.map_err(|error| Refused::invalid(error.to_string()))?;
            target.find(&filter).await
        }
        _ => {
            return Err(Refused::invalid(format!("expected either ids or match, as in {EXAMPLE}")));
        }
    };
    ids.sort_unstable();
    ids.dedup();
    let matched = ids.len();
    let how = if at_once { Closing::KillAtOnce } else { Closing::Kill };
    let mut missing = if dry_run {
        Vec::new()
    } else {
        let closed = server.close(&ids, how).await;
        partial |= closed.partial;
        closed.missing
    };
    let closed = if dry_run { 0 } else { matched - missing.len() };
    if !dry_run {
        tracing::info!(
            command = "kill",
            closed,
            missing = missing.len(),
            at_once,
            "closing connections"
        );
    }
    missing.sort_unstable();
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    Ok(json!({
        "open": open,
        "matched": matched,
        "closed": closed,
        "missing": missing,
        "partial": partial,
    }))
}
