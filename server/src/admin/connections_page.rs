//! `GET /connections`: a list at a time, shared among requests for the same.

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use hyper::body::Bytes;
use tokio::{sync::Mutex, time::Instant};

use super::StatusSource;
use crate::{
    connections::{
        Filter, KernelView, ListedConnection, Listing, ListingJson, Needs, Query, Rows, ServerJson,
        WantedRows, list, yielding,
    },
    control::Matching,
};

/// Makes lists of connections, one at a time. A request that came while a list of the same query was waited for gets
/// that list.
#[derive(Debug)]
pub(super) struct ConnectionsPage {
    started: Instant,
    requests: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    kernel: Option<KernelView>,
    query: String,
    /// Requests that had come when `page` was begun.
    requests: u64,
    page: Bytes,
}

impl ConnectionsPage {
    pub(super) fn of_ports(ports: Vec<u16>) -> Self {
        let kernel = KernelView::of_ports(ports);
        let last = Last { kernel, query: String::new(), requests: 0, page: Bytes::new() };
        Self { started: Instant::now(), requests: AtomicU64::new(0), last: Mutex::new(last) }
    }

    /// The list for a request that came just now.
    ///
    /// # Errors
    /// In one sentence, when the query cannot be read.
    pub(super) async fn page(
        &self,
        source: &impl StatusSource,
        query: Option<&str>,
    ) -> Result<Bytes, String> {
        let text = query.unwrap_or_default();
        let query = Query::parse(text)?;
        let request = self.requests.fetch_add(1, Relaxed) + 1;
        let mut last = self.last.lock().await;
        if last.requests < request || last.query != text {
            let requests = self.requests.load(Relaxed);
            last.page = self.list(source, &query, text, last.kernel.as_mut()).await.into();
            text.clone_into(&mut last.query);
            last.requests = requests;
        }
        Ok(last.page.clone())
    }

    async fn list(
        &self,
        source: &impl StatusSource,
        query: &Query,
        text: &str,
        mut kernel: Option<&mut KernelView>,
    ) -> String {
        let state = source.state();
        let (mut listing, partial) = if query.needs_only_rows() {
            first(source, query, text).await
        } else {
            let (all, partial) = gather(source, query.needs(), kernel.as_deref_mut()).await;
            (list(all, query), partial)
        };
        if let Some(kernel) = kernel {
            if kernel.needs_addresses() {
                kernel.learn_addresses().await;
            }
            for one in listing.connections.iter_mut().filter(|one| one.lacks_details()) {
                one.socket = kernel.socket(one.row.peer).or(one.socket.take());
            }
        }
        let closed = if query.closed == 0 { Vec::new() } else { source.closed(query.closed).await };
        let server = ServerJson {
            version: env!("CARGO_PKG_VERSION"),
            pid: process::id(),
            listen: crate::accept::shown(&state.addresses),
            workers: state.plan.processes * state.plan.threads,
        };
        ListingJson::new(server, self.started.elapsed(), query, &listing, partial, closed).text()
    }

    /// The open connections that meet all conditions.
    pub(super) async fn find(&self, source: &impl StatusSource, filter: &Filter) -> Matching {
        let mut last = self.last.lock().await;
        let (all, partial) = gather(source, filter.needs(), last.kernel.as_mut()).await;
        let matching = all.filter(|connection| filter.matches(connection));
        Matching { ids: matching.map(|connection| connection.row.id).collect(), partial }
    }
}

/// The first connections of a query that nothing but rows is needed for: each process ranks its own, so that no
/// more than those leave it.
async fn first(source: &impl StatusSource, query: &Query, text: &str) -> (Listing, bool) {
    let Rows { rows, open, matched, partial } =
        source.rows(WantedRows::First(text.to_owned())).await;
    let causes = source.state().write_waits.causes();
    let each = rows.into_iter().map(|row| {
        let cause = causes.get(&row.id).copied();
        ListedConnection { socket: None, cause, row }
    });
    (Listing { open, matched, ..list(each, query) }, partial)
}

/// Every open connection, with what the kernel knows of it if that is needed; and whether an answer is missing.
async fn gather<S: StatusSource>(
    source: &S,
    needs: Needs,
    kernel: Option<&mut KernelView>,
) -> (impl Iterator<Item = ListedConnection> + use<S>, bool) {
    let Rows { rows, mut partial, .. } = source.rows(WantedRows::All).await;
    let mut sockets = match kernel {
        Some(kernel) if needs > Needs::Nothing => Some(kernel.sockets(needs, rows.len()).await),
        _ => None,
    };
    partial |= sockets.as_ref().is_some_and(|sockets| sockets.partial);
    let causes = source.state().write_waits.causes();
    let all = yielding(rows.into_iter()).map(move |row| ListedConnection {
        socket: sockets.as_mut().and_then(|sockets| sockets.take(row.peer)),
        cause: causes.get(&row.id).copied(),
        row,
    });
    (all, partial)
}
