//! The rows of the open connections of a process.

use towline_middleware::stats::State;

use super::{ListedConnection, ListedRow, listing::list, query::Query, yielding};
use crate::shard::PoolState;

/// Which rows are asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum WantedRows {
    /// All.
    All,
    /// Of connections whose replies wait.
    WriteWaits,
    /// The first ones of a query that nothing but rows is needed for, as it stands in a URL.
    First(String),
}

/// The rows of a server, or of a process.
#[derive(Debug, Default)]
pub struct Rows {
    /// Those that were asked for.
    pub rows: Vec<ListedRow>,
    /// Open connections in all.
    pub open: usize,
    /// Those that match the query; of which `rows` may be a part.
    pub matched: usize,
    /// A process did not answer.
    pub partial: bool,
}

impl PoolState {
    /// The open connections of this process. No connection is disturbed.
    pub fn rows(&self, wanted: &WantedRows) -> Rows {
        match wanted {
            WantedRows::All => {
                let rows: Vec<_> = self.each_row().collect();
                Rows { open: rows.len(), matched: rows.len(), rows, partial: false }
            }
            WantedRows::WriteWaits => {
                let waits = |row: &ListedRow| row.state == State::WriteWait;
                let rows: Vec<_> = self.each_row().filter(waits).collect();
                Rows { open: self.slots.connections(), matched: rows.len(), rows, partial: false }
            }
            WantedRows::First(query) => {
                // The process that asks has read the same text.
                let query = Query::parse(query).unwrap_or_default();
                let all = self.each_row().map(ListedConnection::without_socket);
                let listing = list(all, &query);
                let rows = listing.connections.into_iter().map(|connection| connection.row);
                let (open, matched) = (listing.open, listing.matched);
                Rows { rows: rows.collect(), open, matched, partial: false }
            }
        }
    }

    fn each_row(&self) -> impl Iterator<Item = ListedRow> {
        let place = self.slots.closed().place();
        let shards = self.signals.iter().zip(&self.stats).enumerate();
        yielding(shards.flat_map(move |(shard, (signal, stats))| {
            let now = stats.now();
            signal
                .connections(now)
                .map(move |row| ListedRow::new(place.name(shard, row.id.serial), &row, now))
        }))
    }
}
