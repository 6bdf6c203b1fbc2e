//! The columns of the table, and which of them fit.

use super::{
    answer::shown,
    model::{ClosedRow, Row},
};

/// A column.
#[derive(Debug)]
pub(super) struct Column<T> {
    pub(super) title: &'static str,
    pub(super) width: usize,
    /// Columns of a higher rank go first where the terminal is narrow.
    rank: u8,
    /// Whether the text begins at the left; numbers end at the right.
    pub(super) left: bool,
    pub(super) text: fn(&T) -> String,
}

const fn words<T>(
    title: &'static str,
    width: usize,
    rank: u8,
    text: fn(&T) -> String,
) -> Column<T> {
    Column { title, width, rank, left: true, text }
}

const fn number<T>(
    title: &'static str,
    width: usize,
    rank: u8,
    text: fn(&T) -> String,
) -> Column<T> {
    Column { title, width, rank, left: false, text }
}

/// The columns of open connections, from left to right.
pub(super) const OPEN: [Column<Row>; 15] = [
    words("ID", 10, 0, |row| shown(&row.connection.id)),
    words("PEER", 21, 1, |row| shown(&row.connection.peer)),
    words("STATE", 10, 0, |row| shown(&row.connection.state)),
    number("FOR", 7, 4, |row| time(row.connection.state_seconds)),
    number("WAIT", 7, 2, |row| time(row.connection.write_wait_seconds)),
    words("CAUSE", 8, 3, |row| shown(row.connection.write_wait_cause.as_deref().unwrap_or("-"))),
    number("UNSENT", 7, 2, |row| size(row.connection.unsent_bytes as f64)),
    number("LINES", 7, 5, |row| count(row.connection.lines as f64)),
    number("LINES/S", 7, 5, |row| or_dash(row.lines_per_second, count)),
    number("READ", 7, 7, |row| or_dash(row.connection.read_bytes, |bytes| size(bytes as f64))),
    number("WRITTEN", 7, 7, |row| {
        or_dash(row.connection.written_bytes, |bytes| size(bytes as f64))
    }),
    number("IDLE", 7, 6, |row| or_dash(row.connection.idle_seconds, time)),
    number("AGE", 7, 6, |row| time(row.connection.age_seconds)),
    number("RTT", 7, 8, |row| or_dash(row.connection.rtt_seconds, short_time)),
    number("RETR", 5, 8, |row| or_dash(row.connection.retransmits, |n| n.to_string())),
];

/// The columns of connections that have ended.
pub(super) const CLOSED: [Column<ClosedRow>; 9] = [
    words("ID", 10, 0, |row| shown(&row.closed.id)),
    words("PEER", 21, 1, |row| shown(&row.closed.peer)),
    words("REASON", 17, 0, |row| shown(&row.closed.reason)),
    number("AGO", 7, 2, |row| time(row.closed.closed_seconds_ago)),
    number("AGE", 7, 3, |row| time(row.closed.age_seconds)),
    number("LINES", 7, 4, |row| count(row.closed.lines as f64)),
    number("WAIT", 7, 4, |row| time(row.closed.write_wait_seconds)),
    number("READ", 7, 5, |row| or_dash(row.closed.read_bytes, |bytes| size(bytes as f64))),
    number("RETR", 5, 6, |row| or_dash(row.closed.retransmits, |n| n.to_string())),
];

/// The columns that fit into `width`, from left to right.
pub(super) fn fitting<T>(columns: &[Column<T>], width: usize) -> Vec<&Column<T>> {
    let mut ranks: Vec<u8> = columns.iter().map(|column| column.rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let up_to = |rank: u8| columns.iter().filter(move |column| column.rank <= rank);
    let needs = |rank: u8| up_to(rank).map(|column| column.width + 1).sum::<usize>();
    let rank = ranks.into_iter().take_while(|rank| needs(*rank) <= width + 1).last().unwrap_or(0);
    up_to(rank).collect()
}

fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// Seconds, as two units at most: `12.3s`, `4m32s`, `2h05m`, `3d04h`.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

fn short_time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0}us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1}ms", seconds * 1e3)
    } else {
        time(seconds)
    }
}

/// Bytes: `512`, `64.0K`, `1.5M`.
pub(super) fn size(bytes: f64) -> String {
    scaled(bytes, 1024.0)
}

/// A number: `512`, `64.0k`, `1.5M`.
pub(super) fn count(number: f64) -> String {
    scaled(number, 1000.0).replace('K', "k")
}

fn scaled(number: f64, step: f64) -> String {
    let units = ["K", "M", "G", "T"];
    let mut scaled = number;
    let mut unit = "";
    for larger in units {
        // Below this it would be printed as a whole step.
        if scaled < step * 0.9995 {
            break;
        }
        (scaled, unit) = (scaled / step, larger);
    }
    if unit.is_empty() { format!("{scaled:.0}") } else { format!("{scaled:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (seconds, text) in [
            (0.04, "0.0s"),
            (59.9, "59.9s"),
            (272.0, "4m32s"),
            (7_500.0, "2h05m"),
            (273_600.0, "3d04h"),
        ] {
            assert_eq!(time(seconds), text);
        }
        for (bytes, text) in [
            (0.0, "0"),
            (1023.0, "1023"),
            (1024.0, "1.0K"),
            (1_572_864.0, "1.5M"),
            (5e15, "4547.5T"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!((count(999.0), count(64_000.0)), ("999".to_owned(), "64.0k".to_owned()));
        assert_eq!(
            (short_time(30e-6), short_time(0.0123)),
            ("30us".to_owned(), "12.3ms".to_owned())
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_what_tells_connections_apart() {
        let titles =
            |width| fitting(&OPEN, width).iter().map(|column| column.title).collect::<Vec<_>>();
        assert_eq!(titles(20), ["ID", "STATE"]);
        assert_eq!(titles(80), ["ID", "PEER", "STATE", "FOR", "WAIT", "CAUSE", "UNSENT"]);
        assert_eq!(titles(200).len(), OPEN.len());
    }
}
