//! What is shown, from two answers of each server.

use std::collections::HashMap;

use towline_load::TargetAddr;

use super::{
    answer::{Closed, Connection, Figures, Listing, shown},
    fetch::{Answer, Query},
};

/// All that is shown of the servers.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) query: Query,
    pub(super) servers: Vec<ServerModel>,
    pub(super) rows: Vec<Row>,
    pub(super) closed: Vec<ClosedRow>,
}

/// One server.
#[derive(Debug)]
pub(super) struct ServerModel {
    pub(super) address: TargetAddr,
    last: Option<(Listing, Figures)>,
    pub(super) rates: Option<Rates>,
    /// Why it does not answer.
    pub(super) failure: Option<String>,
}

/// What happened each second, by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) lines: f64,
    pub(super) read_bytes: f64,
    pub(super) written_bytes: f64,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Row {
    /// The index of its server.
    pub(super) server: usize,
    pub(super) connection: Connection,
    /// Known from the second answer on.
    pub(super) lines_per_second: Option<f64>,
}

/// A connection that has ended.
#[derive(Debug)]
pub(super) struct ClosedRow {
    pub(super) server: usize,
    pub(super) closed: Closed,
}

impl ServerModel {
    /// The last answer.
    pub(super) const fn last(&self) -> Option<&(Listing, Figures)> {
        self.last.as_ref()
    }

    fn take(&mut self, answer: Answer) -> HashMap<String, f64> {
        let (listing, figures) = match answer {
            Ok(answer) => answer,
            Err(why) => {
                (self.failure, self.rates) = (Some(shown(&why)), None);
                return HashMap::new();
            }
        };
        let mut line_rates = HashMap::new();
        self.failure = None;
        self.rates = None;
        if let Some((before, figures_before)) = &self.last {
            // A server that was started again counts from zero.
            let seconds = figures.seconds - figures_before.seconds;
            if seconds > 0.0 && figures.lines >= figures_before.lines {
                let per_second =
                    |of: fn(&Figures) -> f64| (of(&figures) - of(figures_before)) / seconds;
                self.rates = Some(Rates {
                    lines: per_second(|figures| figures.lines),
                    read_bytes: per_second(|figures| figures.read_bytes),
                    written_bytes: per_second(|figures| figures.written_bytes),
                });
            }
            let seconds = listing.uptime_seconds - before.uptime_seconds;
            if seconds > 0.0 {
                let lines: HashMap<_, _> =
                    before.connections.iter().map(|one| (&one.id, one.lines)).collect();
                line_rates.extend(listing.connections.iter().filter_map(|one| {
                    let lines = one.lines.checked_sub(*lines.get(&one.id)?)?;
                    Some((one.id.clone(), lines as f64 / seconds))
                }));
            }
        }
        self.last = Some((listing, figures));
        line_rates
    }
}

impl Model {
    pub(super) fn new(servers: &[TargetAddr], query: Query) -> Self {
        let server = |address: &TargetAddr| ServerModel {
            address: address.clone(),
            last: None,
            rates: None,
            failure: None,
        };
        let servers = servers.iter().map(server).collect();
        Self { query, servers, rows: Vec::new(), closed: Vec::new() }
    }

    /// Takes the answers of all servers to the query.
    pub(super) fn take(&mut self, answers: Vec<Answer>) {
        self.rows.clear();
        self.closed.clear();
        for (index, (server, answer)) in self.servers.iter_mut().zip(answers).enumerate() {
            let line_rates = server.take(answer);
            let Some((listing, _)) = server.last.as_ref().filter(|_| server.failure.is_none())
            else {
                continue;
            };
            self.rows.extend(listing.connections.iter().map(|connection| Row {
                server: index,
                lines_per_second: line_rates.get(&connection.id).copied(),
                connection: connection.clone(),
            }));
            let closed = listing.closed.iter().cloned();
            self.closed.extend(closed.map(|closed| ClosedRow { server: index, closed }));
        }
        self.sort();
    }

    /// Each server has sorted its own.
    fn sort(&mut self) {
        if self.servers.len() < 2 {
            return;
        }
        let key: fn(&Connection) -> f64 = match self.query.sort.as_str() {
            "unsent" => |one| one.unsent_bytes as f64,
            "idle" => |one| one.idle_seconds.unwrap_or(-1.0),
            "age" => |one| one.age_seconds,
            "lines" => |one| one.lines as f64,
            "bytes" => {
                |one| one.read_bytes.unwrap_or(0) as f64 + one.written_bytes.unwrap_or(0) as f64
            }
            "rtt" => |one| one.rtt_seconds.unwrap_or(-1.0),
            _ => |one| one.write_wait_seconds,
        };
        self.rows.sort_by(|one, other| key(&other.connection).total_cmp(&key(&one.connection)));
        let ago = |row: &ClosedRow| row.closed.closed_seconds_ago;
        self.closed.sort_by(|one, other| ago(one).total_cmp(&ago(other)));
    }

    /// The servers that do not answer.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&TargetAddr, &str)> {
        self.servers.iter().filter_map(|server| Some((&server.address, server.failure.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn server(port: u16) -> TargetAddr {
        SocketAddr::from(([127, 0, 0, 1], port)).into()
    }

    fn query() -> Query {
        Query { sort: "lines".to_owned(), conditions: String::new(), limit: 5, closed: false }
    }

    fn answer(uptime_seconds: f64, lines: &[(&str, u64)]) -> Answer {
        let one = |(id, lines): &(&str, u64)| Connection {
            id: (*id).to_owned(),
            lines: *lines,
            ..Connection::default()
        };
        let connections = lines.iter().map(one).collect();
        let total = lines.iter().map(|(_, lines)| *lines as f64).sum();
        let figures = Figures { seconds: uptime_seconds, lines: total, ..Figures::default() };
        Ok((Listing { uptime_seconds, connections, ..Listing::default() }, figures))
    }

    #[test]
    fn rates_are_by_the_servers_clock_and_of_connections_that_were_there_before() {
        let mut model = Model::new(&[server(1)], query());
        model.take(vec![answer(10.0, &[("0-1", 100)])]);
        assert_eq!((model.servers[0].rates, model.rows[0].lines_per_second), (None, None));
        model.take(vec![answer(12.0, &[("0-1", 300), ("0-2", 7)])]);
        assert_eq!(model.servers[0].rates.map(|rates| rates.lines), Some(103.5));
        let rates: Vec<_> = model.rows.iter().map(|row| row.lines_per_second).collect();
        assert_eq!(rates, [Some(100.0), None]);
        // Started again.
        model.take(vec![answer(1.0, &[("0-1", 3)])]);
        assert_eq!((model.servers[0].rates, model.rows[0].lines_per_second), (None, None));
    }

    #[test]
    fn several_servers_are_one_list_and_one_that_fails_is_named() {
        let servers = [server(1), server(2)];
        let mut model = Model::new(&servers, query());
        model.take(vec![answer(1.0, &[("0-1", 5), ("0-2", 3)]), answer(1.0, &[("0-1", 4)])]);
        let rows: Vec<_> =
            model.rows.iter().map(|row| (row.server, row.connection.lines)).collect();
        assert_eq!(rows, [(0, 5), (1, 4), (0, 3)]);
        model.take(vec![answer(2.0, &[("0-1", 5)]), Err("refused\u{7}".to_owned())]);
        assert_eq!(model.rows.len(), 1);
        assert_eq!(model.failures().collect::<Vec<_>>(), [(&servers[1], "refused·")]);
    }
}
