//! The diagnosis as text: yes or no, the prediction, the rows that need a change with their fixes, then
//! the other rows in one line each.

use std::fmt::Write as _;

use towline_doctor::{Facts, ProcessCount, Row, Scope, Verdict};

use super::Diagnosis;

/// Columns of a page, so that a terminal of 80 columns does not wrap it.
const WIDTH: usize = 79;
/// The column in which values begin.
const VALUES: usize = 44;
/// Indentation: the longest verdict and a gap.
const INDENT: &str = "         ";

pub(super) fn page(diagnosis: &Diagnosis, colour: bool) -> String {
    let Diagnosis { facts, target, rows, prediction } = diagnosis;
    let mut out = String::new();
    wrap(&mut out, "", &diagnosis.answer());
    wrap(&mut out, "", &prediction.sentence(target));
    let processes = match target.processes {
        ProcessCount::Unspecified => String::new(),
        ProcessCount::Auto => ", as many processes as needed".to_owned(),
        ProcessCount::Exactly(1) => ", 1 process".to_owned(),
        ProcessCount::Exactly(count) => format!(", {count} processes"),
    };
    let about = format!(
        "Checked for {} connections, {} new ones per second, side {}{processes}: {}.",
        target.connections,
        target.burst,
        target.side.name(),
        counts_by_verdict(rows)
    );
    wrap(&mut out, "", &about);
    out.push('\n');
    let (open, fine): (Vec<_>, Vec<_>) =
        rows.iter().partition(|row| matches!(row.verdict, Verdict::Fail | Verdict::Warn));
    for row in &open {
        at_length(&mut out, row, facts, colour);
    }
    for row in fine {
        headline(&mut out, row, colour);
    }
    out
}

/// `2 fail, 3 warn, 30 ok, 1 unknown`
fn counts_by_verdict(rows: &[Row]) -> String {
    let kinds = [Verdict::Fail, Verdict::Warn, Verdict::Unknown, Verdict::Ok];
    let count = |kind| rows.iter().filter(|row| row.verdict == kind).count();
    let parts = kinds.map(|kind| (count(kind), kind.name()));
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    parts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn headline(out: &mut String, row: &Row, colour: bool) {
    let (on, off) = if colour { (paint(row.verdict), "\x1b[0m") } else { ("", "") };
    let verdict = match row.verdict {
        Verdict::Fail => "FAIL",
        other => other.name(),
    };
    let value = row.value.as_deref().unwrap_or("unknown here");
    let start = INDENT.len();
    let name = format!("{:width$}", row.name, width = VALUES - start);
    line(out, format_args!("{on}{verdict:<start$}{off}{name} {value}"));
}

fn at_length(out: &mut String, row: &Row, facts: &Facts, colour: bool) {
    headline(out, row, colour);
    let sides: Vec<_> = row.sides.iter().map(|side| side.name()).collect();
    let scope = match row.scope {
        Scope::Host => "whole host",
        scope => scope.name(),
    };
    let need = format!("needs {} ({scope}; for {})", row.need, sides.join(", "));
    wrap(out, INDENT, &need);
    wrap(out, INDENT, &row.why);
    if let Some(fix) = row.fix_here(facts) {
        // On one line, however long, so that it can be copied.
        line(out, format_args!("{INDENT}fix: {fix}"));
    }
    out.push('\n');
}

fn paint(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "\x1b[32m",
        Verdict::Unknown => "\x1b[2m",
        Verdict::Warn => "\x1b[33m",
        Verdict::Fail => "\x1b[1;31m",
    }
}

/// Appends `text`, wrapped at [`WIDTH`] columns.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + word.chars().count() > WIDTH {
            out.push('\n');
            column = 0;
        }
        let gap = if column == 0 { indent } else { " " };
        out.push_str(gap);
        out.push_str(word);
        column += gap.len() + word.chars().count();
    }
    out.push('\n');
}

/// Appends a line. Writing into a `String` cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(format_args!("{text}\n"));
}
