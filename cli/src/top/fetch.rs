//! Asks the servers.

use std::{
    fmt::Write as _,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::Duration,
};

use towline_load::TargetAddr;

use super::answer::{Figures, Listing};
use crate::http::{self, Endpoint, Request, SentRequest};

/// Longest wait for the connection to a server, and again for its answer.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Closed connections that are asked for.
const CLOSED_MAX: usize = 200;

/// What is asked of each server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) sort: String,
    pub(super) conditions: String,
    pub(super) limit: u16,
    /// The connections that ended, instead of those that are open.
    pub(super) closed: bool,
}

/// What one server answered, or why it did not.
pub(super) type Answer = Result<(Listing, Figures), String>;

impl Query {
    /// The orders that a server knows.
    pub(super) const SORTS: [&'static str; 7] =
        ["write_wait", "unsent", "idle", "age", "lines", "bytes", "rtt"];

    fn path(&self) -> String {
        let Self { sort, conditions, limit, closed } = self;
        let closed = if *closed { CLOSED_MAX } else { 0 };
        let mut path = format!("/connections?sort={sort}&limit={limit}&closed={closed}&match=");
        for byte in conditions.bytes() {
            if byte.is_ascii_alphanumeric() {
                path.push(char::from(byte));
            } else {
                // Writing to a string does not fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
        path
    }
}

/// Asks every server at the same time, once.
pub(super) fn fetch(servers: &[TargetAddr], query: &Query) -> Vec<Answer> {
    thread::scope(|scope| {
        let asked: Vec<_> =
            servers.iter().map(|server| scope.spawn(|| ask(server, query))).collect();
        let lost = |_| Err("the thread that asks it has ended".to_owned());
        asked.into_iter().map(|asked| asked.join().unwrap_or_else(lost)).collect()
    })
}

fn ask(server: &TargetAddr, query: &Query) -> Answer {
    let listing = connections(server, query)?;
    let listing = serde_json::from_str(&listing)
        .map_err(|error| format!("its answer is no list of connections: {error}"))?;
    let figures = get(server, "/metrics")?;
    Ok((listing, Figures::parse(&figures)))
}

/// The list of connections as the server gives it.
pub(super) fn connections(server: &TargetAddr, query: &Query) -> Result<String, String> {
    get(server, &query.path())
}

fn get(server: &TargetAddr, path: &str) -> Result<String, String> {
    let sent = Request::get(path).send(&Endpoint::from(server), TIMEOUT);
    let answer = sent.and_then(SentRequest::answer).map_err(|error| error.to_string())?;
    let http::Answer { status, body } = answer;
    match status {
        200 => Ok(body),
        // One sentence about what was asked.
        400 => Err(body.trim_end().to_owned()),
        404 => Err("this server has no list of connections".to_owned()),
        _ => Err(format!("the status is {status}")),
    }
}

/// Asks all servers whenever a query comes, and each `interval` after that. Ends with the sender of queries.
pub(super) fn run(
    servers: &[TargetAddr],
    queries: &Receiver<(Query, Duration)>,
    answers: &SyncSender<(Query, Vec<Answer>)>,
) {
    let Ok((mut query, mut interval)) = queries.recv() else { return };
    loop {
        let fetched = fetch(servers, &query);
        if answers.send((query.clone(), fetched)).is_err() {
            return;
        }
        match queries.recv_timeout(interval) {
            Ok(next) => (query, interval) = next,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Of several that came meanwhile the last one counts.
        while let Ok(next) = queries.try_recv() {
            (query, interval) = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_encoded() {
        let query = Query {
            sort: "rtt".to_owned(),
            conditions: "peer=10.0.0.0/8,age>1h".to_owned(),
            limit: 7,
            closed: false,
        };
        let path =
            "/connections?sort=rtt&limit=7&closed=0&match=peer%3D10%2E0%2E0%2E0%2F8%2Cage%3E1h";
        assert_eq!(query.path(), path);
    }
}
