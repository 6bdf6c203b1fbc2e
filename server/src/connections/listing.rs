//! The first connections of an order.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    ListedConnection, nanos,
    query::{Query, Sort},
};

/// The answer to a query.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Open connections in all.
    pub(crate) open: usize,
    /// Those that match.
    pub(crate) matched: usize,
    /// The first of them.
    pub(crate) connections: Vec<ListedConnection>,
}

/// Chooses from all open connections.
///
/// *Costs*: a comparison for each, and memory for the chosen.
pub(crate) fn list(all: impl Iterator<Item = ListedConnection>, query: &Query) -> Listing {
    let Query { sort, limit, ref filter, .. } = *query;
    let mut listing = Listing::default();
    let mut first = BinaryHeap::with_capacity(limit);
    for connection in all {
        listing.open += 1;
        if !filter.matches(&connection) {
            continue;
        }
        listing.matched += 1;
        let ranked = Ranked { key: sort.key(&connection), connection };
        if first.len() < limit {
            first.push(Reverse(ranked));
        } else if let Some(mut last) = first.peek_mut()
            && ranked > last.0
        {
            *last = Reverse(ranked);
        }
    }
    let first = first.into_sorted_vec().into_iter();
    listing.connections = first.map(|Reverse(ranked)| ranked.connection).collect();
    listing
}

impl Sort {
    /// What the order is by. What is not known comes last.
    fn key(self, connection: &ListedConnection) -> Option<u64> {
        let row = &connection.row;
        match self {
            Self::WriteWait => Some(nanos(row.write_wait)),
            Self::Unsent => Some(connection.unsent_bytes()),
            Self::Idle => connection.idle().map(nanos),
            Self::Age => Some(nanos(row.age)),
            Self::Lines => Some(row.lines),
            Self::Bytes => connection.transferred_bytes(),
            Self::Rtt => connection.socket.as_ref()?.info.map(|info| nanos(info.rtt)),
        }
    }
}

/// A connection in the order of a listing; of equal ones the oldest is first.
#[derive(Debug)]
struct Ranked {
    key: Option<u64>,
    connection: ListedConnection,
}

impl Ranked {
    fn order(&self) -> (Option<u64>, Duration, Reverse<crate::counts::PublicId>) {
        (self.key, self.connection.row.age, Reverse(self.connection.row.id))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
