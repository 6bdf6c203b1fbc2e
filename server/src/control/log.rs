//! The level of the log: `log.level`, set at run time.

use serde::Deserialize;
use serde_json::Value;

use super::{Controllable, Refused, body, set};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// `null` withdraws the level that was set.
    level: Option<String>,
}

pub(super) async fn run(server: &impl Controllable, body: &[u8]) -> Result<Value, Refused> {
    let Arguments { level } = body::read(body, r#"{"level":"debug"}"#)?;
    if server.state().remote.loader().is_none() {
        return Err(Refused::now_is_no_time(
            "the log belongs to the program that this server is part of",
        ));
    }
    set::apply(server, &[("log.level".to_owned(), level)]).await
}
