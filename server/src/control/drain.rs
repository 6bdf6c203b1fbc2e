//! Draining the server as SIGTERM does, or closing a share of its connections while it serves on.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{Controllable, Refused, Target, body, unless_draining};
use crate::{
    connections::{Closing, WantedRows},
    counts::PublicId,
    lifecycle::{Stage, reload::Reloadable as _},
};

const EXAMPLE: &str = r#"{"share":0.1,"over_seconds":60}"#;

/// Longest time over which a share is closed: a day.
const OVER_MAX_SECONDS: f64 = 86_400.0;

/// Time over which a share is closed by default.
const OVER_SECONDS: f64 = 60.0;

/// Most steps in which a share is closed, and least time between two.
const STEPS_MAX: u32 = 500;
const STEP_MIN: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    share: Option<f64>,
    over_seconds: Option<f64>,
}

pub(super) async fn run<T: Target>(target: &Arc<T>, body: &[u8]) -> Result<Value, Refused> {
    let Arguments { share, over_seconds } = body::read(body, EXAMPLE)?;
    unless_draining(target.server())?;
    match (share, over_seconds) {
        (Some(share), over) => close_share(target, share, over.unwrap_or(OVER_SECONDS)).await,
        (None, Some(_)) => Err(Refused::invalid(format!(
            "over_seconds is given without share: expected {EXAMPLE}, or neither to drain the server"
        ))),
        (None, None) => drain_all(target.server()),
    }
}

fn drain_all(server: &impl Controllable) -> Result<Value, Refused> {
    let state = server.state();
    let connections = state.slots.connections();
    if !state.remote.ask_to_drain() {
        return Err(Refused::now_is_no_time(
            "this server is drained by the program that it is part of",
        ));
    }
    Ok(json!({ "connections": connections }))
}

/// Closes the oldest connections. Not random ones: a client that connects again, here perhaps, is not
/// closed a second time, and shares one after the other reach every connection once.
async fn close_share<T: Target>(
    target: &Arc<T>,
    share: f64,
    over_seconds: f64,
) -> Result<Value, Refused> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(Refused::invalid(format!("share = {share}: expected more than 0, up to 1")));
    }
    if !(0.0..=OVER_MAX_SECONDS).contains(&over_seconds) {
        return Err(Refused::invalid(format!(
            "over_seconds = {over_seconds}: expected from 0 to {OVER_MAX_SECONDS}"
        )));
    }
    let server = target.server();
    let over = Duration::from_secs_f64(over_seconds);
    if let Err(left) = server.state().remote.share_drain.begin(over) {
        return Err(Refused::now_is_no_time(format!(
            "a share is being closed for {} s more: one at a time",
            left.as_secs() + 1
        )));
    }
    let listed = server.rows(WantedRows::All).await;
    let mut rows = listed.rows;
    let count = (rows.len() as f64 * share).ceil() as usize;
    rows.sort_unstable_by_key(|row| Reverse(row.age));
    let ids: Vec<_> = rows.into_iter().take(count).map(|row| row.id).collect();
    tracing::info!(command = "drain", share, ?over, connections = ids.len(), "closing a share");
    let connections = ids.len();
    if over.is_zero() {
        server.close(&ids, Closing::Drain).await;
    } else {
        let target = target.clone();
        tokio::spawn(async move { close_in_steps(target.server(), &ids, over).await });
    }
    Ok(json!({ "connections": connections, "partial": listed.partial }))
}

/// Closes connections evenly over a time, in steps; ends early when the whole server drains.
async fn close_in_steps(server: &impl Controllable, ids: &[PublicId], over: Duration) {
    let (start, step) = (Instant::now(), (over / STEPS_MAX).max(STEP_MIN).min(over));
    let (mut closed, mut next) = (0, start);
    while closed < ids.len() && !server.state().lifecycle.is(Stage::Draining) {
        next += step;
        sleep_until(next).await;
        let share = (start.elapsed().as_secs_f64() / over.as_secs_f64()).min(1.0);
        // Never past the end: the share is at most 1.
        let until = (ids.len() as f64 * share).round() as usize;
        if let Some(due) = ids.get(closed..until).filter(|due| !due.is_empty()) {
            server.close(due, Closing::Drain).await;
            closed = until;
        }
    }
}
