//! The screen, as lines of text.

#[cfg(test)]
mod tests;

use ratatui::{
    style::{Color, Modifier, Style},
    text::Line,
};

use super::{
    columns::{CLOSED, Column, OPEN, count, fitting, size, time},
    keys::Input,
    model::{Model, ServerModel},
};

/// What is on the screen beside the servers' answers.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The chosen row.
    pub(super) chosen: usize,
    pub(super) paused: bool,
    pub(super) input: Input,
    /// Without colours: `NO_COLOR` is set.
    pub(super) plain: bool,
}

/// Width of one table on paper.
const PLAIN_WIDTH: usize = 200;

/// One table, for a reader that is no terminal.
pub(super) fn plain(model: &Model) -> String {
    let mut text = String::new();
    let heads = model.servers.iter().map(head);
    for line in heads.chain(table(model, PLAIN_WIDTH)) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The lines of a screen of this size.
pub(super) fn screen(
    model: &Model,
    view: &View,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'_>> = model
        .servers
        .iter()
        .map(|server| {
            let line = Line::from(cut(&head(server), width));
            if server.failure.is_some() { line.style(view.style(Color::Red)) } else { line }
        })
        .collect();
    // The table gets at least half of a low terminal.
    lines.truncate(height.saturating_sub(2).max(1) / 2 + 1);
    let room = height.saturating_sub(lines.len() + 1);
    let mut rows = table(model, width);
    if let Some(titles) = rows.next()
        && room > 0
    {
        lines.push(Line::from(titles).style(Style::new().add_modifier(Modifier::BOLD)));
    }
    let shown = room.saturating_sub(1);
    let first = (view.chosen + 1).saturating_sub(shown);
    for (index, row) in rows.enumerate().skip(first).take(shown) {
        let waits = !model.query.closed
            && model.rows.get(index).is_some_and(|row| row.connection.state == "write_wait");
        let mut style = if waits { view.style(Color::Red) } else { Style::new() };
        if index == view.chosen {
            style = style.add_modifier(Modifier::REVERSED);
        }
        lines.push(Line::from(row).style(style));
    }
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(Line::from(cut(&view.foot(model), width)));
    lines.truncate(height);
    lines
}

impl View {
    fn style(&self, color: Color) -> Style {
        if self.plain { Style::new() } else { Style::new().fg(color) }
    }

    fn foot(&self, model: &Model) -> String {
        if let Some(line) = self.input.line() {
            return line;
        }
        let query = &model.query;
        let mut foot = if self.paused { "paused  ".to_owned() } else { String::new() };
        if query.closed {
            foot.push_str("closed connections  c open  q end");
        } else {
            foot.push_str(&format!("by {}", query.sort));
            if !query.conditions.is_empty() {
                foot.push_str(&format!(" of {}", query.conditions));
            }
            if let Some(row) = model.rows.get(self.chosen) {
                foot.push_str(&format!(
                    "  end it: towline ctl kill {}",
                    super::answer::shown(&row.connection.id)
                ));
            }
            foot.push_str("  < > order  / conditions  c closed  p pause  q end");
        }
        foot
    }
}

/// One line about a server.
fn head(server: &ServerModel) -> String {
    let address = &server.address;
    if let Some(why) = &server.failure {
        return format!("{address}: {why}");
    }
    let Some((listing, figures)) = server.last() else { return format!("{address}: asking") };
    let open = listing.open;
    let mut head = format!(
        "{address} towline {} on {}, up {}: {open} of {} open",
        super::answer::shown(&listing.server.version),
        super::answer::shown(&listing.server.listen),
        time(listing.uptime_seconds),
        figures.limit,
    );
    if figures.draining {
        head.push_str(", draining");
    }
    if listing.matched != listing.open {
        head.push_str(&format!(", {} match", listing.matched));
    }
    if let Some(rates) = server.rates {
        head.push_str(&format!(
            ", {} lines/s, read {}/s, written {}/s",
            count(rates.lines),
            size(rates.read_bytes),
            size(rates.written_bytes)
        ));
    }
    if figures.write_waiting > 0.0 && open > 0 {
        let share = figures.write_waiting / open as f64 * 100.0;
        head.push_str(&format!(
            ", {} ({share:.1} %) wait for their clients",
            figures.write_waiting
        ));
    }
    if listing.partial {
        head.push_str(", incomplete");
    }
    head
}

/// The title line of the table and its rows.
fn table(model: &Model, width: usize) -> Box<dyn Iterator<Item = String> + '_> {
    let servers = model.servers.len();
    let prefix = if servers > 1 { 4 } else { 0 };
    let name =
        move |server: usize| if prefix > 0 { format!("{server:<3} ") } else { String::new() };
    let title = if prefix > 0 { "#   " } else { "" };
    let width = width.saturating_sub(prefix);
    if model.query.closed {
        let columns = fitting(&CLOSED, width);
        let titles = format!("{title}{}", titles(&columns));
        let rows = model.closed.iter();
        Box::new(
            [titles]
                .into_iter()
                .chain(rows.map(move |row| name(row.server) + &cells(&columns, row))),
        )
    } else {
        let columns = fitting(&OPEN, width);
        let titles = format!("{title}{}", titles(&columns));
        let rows = model.rows.iter();
        Box::new(
            [titles]
                .into_iter()
                .chain(rows.map(move |row| name(row.server) + &cells(&columns, row))),
        )
    }
}

fn titles<T>(columns: &[&Column<T>]) -> String {
    joined(columns.iter().map(|column| cell(column, column.title)))
}

fn cells<T>(columns: &[&Column<T>], row: &T) -> String {
    joined(columns.iter().map(|column| cell(column, &(column.text)(row))))
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" ")
}

/// A text that takes the column's width, or more only where it would not be whole: an IPv6 address.
fn cell<T>(column: &Column<T>, text: &str) -> String {
    let width = column.width;
    if column.left { format!("{text:<width$}") } else { format!("{text:>width$}") }
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}
