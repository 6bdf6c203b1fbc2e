//! Tests of screens.

use super::*;
use crate::top::{
    answer::{Closed, Connection, Figures, Listing},
    fetch::Query,
};

fn model() -> Model {
    let query = Query {
        sort: "write_wait".to_owned(),
        conditions: String::new(),
        limit: 50,
        closed: false,
    };
    let mut model = Model::new(&[std::net::SocketAddr::from(([127, 0, 0, 1], 9464)).into()], query);
    let connection = |id: &str, state: &str, wait: f64| Connection {
        id: id.to_owned(),
        peer: "10.1.2.3:4711".to_owned(),
        state: state.to_owned(),
        write_wait_seconds: wait,
        unsent_bytes: 65_536,
        ..Connection::default()
    };
    let listing = Listing {
        open: 2,
        matched: 2,
        connections: vec![connection("0-17", "write_wait", 12.3), connection("1-4", "idle", 0.0)],
        closed: vec![Closed {
            id: "0-3".to_owned(),
            reason: "admin".to_owned(),
            ..Closed::default()
        }],
        ..Listing::default()
    };
    let figures = Figures { limit: 19_928.0, write_waiting: 1.0, ..Figures::default() };
    model.take(vec![Ok((listing, figures))]);
    model
}

fn texts(model: &Model, view: &View, width: usize, height: usize) -> Vec<String> {
    let lines = screen(model, view, width, height);
    lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect()
}

#[test]
fn a_screen_has_the_server_the_connections_and_what_keys_do() {
    let lines = texts(&model(), &View::default(), 80, 6);
    assert_eq!(
        lines,
        [
            "127.0.0.1:9464 towline  on , up 0.0s: 2 of 19928 open, 1 (50.0 %) wait for their",
            "ID         PEER                  STATE          FOR    WAIT CAUSE     UNSENT",
            "0-17       10.1.2.3:4711         write_wait    0.0s   12.3s -          64.0K",
            "1-4        10.1.2.3:4711         idle          0.0s    0.0s -          64.0K",
            "",
            "by write_wait  end it: towline ctl kill 0-17  < > order  / conditions  c closed",
        ]
    );
}

#[test]
fn the_closed_ones_are_another_table() {
    let mut model = model();
    model.query.closed = true;
    let lines = texts(&model, &View::default(), 80, 4);
    assert!(lines[2].starts_with("0-3"), "{lines:?}");
    assert!(lines[2].contains("admin"), "{lines:?}");
}

#[test]
fn every_size_of_terminal_is_filled_and_no_more() {
    let model = model();
    for width in [0, 1, 5, 20, 300] {
        for height in [0, 1, 2, 3, 4, 100] {
            for chosen in [0, 1] {
                let view = View { chosen, ..View::default() };
                let lines = texts(&model, &view, width, height);
                assert_eq!(lines.len(), height, "{width} columns, {height} rows");
            }
        }
    }
    // The chosen row stays in sight.
    let view = View { chosen: 1, ..View::default() };
    assert!(texts(&model, &view, 40, 4).iter().any(|line| line.starts_with("1-4")));
}

#[test]
fn a_server_that_does_not_answer_says_why_in_place_of_its_figures() {
    let mut model = model();
    model.take(vec![Err("Connection refused".to_owned())]);
    assert_eq!(texts(&model, &View::default(), 80, 3)[0], "127.0.0.1:9464: Connection refused");
    assert_eq!(plain(&model).lines().next(), Some("127.0.0.1:9464: Connection refused"));
}

#[test]
fn several_servers_are_told_apart_by_their_number() {
    let mut model = model();
    let second = Model::new(
        &[std::net::SocketAddr::from(([127, 0, 0, 1], 9465)).into()],
        model.query.clone(),
    );
    model.servers.extend(second.servers);
    let lines = texts(&model, &View::default(), 80, 6);
    assert!(lines[1].starts_with("127.0.0.1:9465: asking"), "{lines:?}");
    assert!(lines[2].starts_with("#   ID"), "{lines:?}");
    assert!(lines[3].starts_with("0   0-17"), "{lines:?}");
}
