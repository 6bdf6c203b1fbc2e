//! Resident memory of idle connections.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    client::{Connector, on_load_core},
    lines::open,
};
use crate::{Error, child::Server, implementation::Measurement, kernel::resident_bytes};

/// Connections made before memory is read for the first time: what the first ones bring with them is not theirs.
const FIRST: u32 = 50;

/// Time until memory is settled.
const SETTLE: Duration = Duration::from_millis(700);

/// Holds `count` connections, which are idle after a line.
pub(super) fn hold(
    connector: Connector,
    server: &Server,
    count: u32,
) -> Result<Measurement, Error> {
    let pid = server.pid();
    on_load_core(async move |_| {
        let first = open(&connector, FIRST).await?;
        sleep(SETTLE).await;
        let before = resident_bytes(pid)?;
        let more = open(&connector, count).await?;
        sleep(SETTLE).await;
        let after = resident_bytes(pid)?;
        drop((first, more));
        let idle_bytes = Some(after.saturating_sub(before) as f64 / f64::from(count));
        Ok(Measurement { idle_bytes, burst_growth_bytes: None, ..Measurement::default() })
    })
}
