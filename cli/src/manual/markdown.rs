//! A Markdown document as a page: headings, paragraphs, lists, tables and code, which is what the
//! documents of this repository have.

use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::title::{Title, see_also};

/// The page of `document`. Names of tests are left out: a reader of the page has no sources.
pub(super) fn render(title: &Title<'_>, document: &str) -> String {
    let document = without_tests(document);
    let mut roff = title.page();
    roff.control("SH", ["DESCRIPTION"]);
    // The document's own title says what NAME says.
    let mut lines = document.lines().filter(|line| !line.starts_with("# ")).peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        if let Some(heading) = line.strip_prefix("## ") {
            roff.control("SH", [&*heading.to_uppercase()]);
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            table(&mut roff, &rows);
        } else {
            let (first, item) = item(line);
            let mut text = first.to_owned();
            let goes_on = |line: &&str| {
                !line.trim().is_empty()
                    && !line.starts_with(['|', '#'])
                    && self::item(line).1.is_none()
            };
            while let Some(line) = lines.next_if(goes_on) {
                text.push(' ');
                text.push_str(line.trim());
            }
            match item {
                Some(mark) => roff.control("IP", [mark, "4"]),
                None => roff.control("PP", []),
            };
            roff.text(inline(&text));
        }
    }
    see_also(&mut roff, title, &[("towline", 1), ("towline-serve", 1), ("towline.toml", 5)]);
    roff.to_roff()
}

/// The document without the emphasised parts that name tests.
fn without_tests(document: &str) -> String {
    let mut kept = String::new();
    // Two asterisks are one mark of another kind.
    let marked = document.replace("**", "\u{1}");
    for (at, part) in marked.split('*').enumerate() {
        let names_tests = at % 2 == 1 && (part.contains(".rs") || part.contains("the\ntests"));
        if !names_tests || part.contains("the\ntests") {
            kept.push_str(part);
        }
    }
    kept.replace('\u{1}', "**")
}

/// The text of a line, and the mark of the item that it begins.
fn item(line: &str) -> (&str, Option<&str>) {
    if let Some(text) = line.strip_prefix("- ") {
        return (text, Some("\\(bu"));
    }
    let digits = line.len() - line.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    match line[digits..].strip_prefix(". ") {
        Some(text) if digits > 0 => (text, Some(&line[..digits])),
        _ => (line, None),
    }
}

fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// A table as a list: the first cell of a row, and below it what the others say, by the heads of their
/// columns. A terminal is too narrow for columns of sentences.
fn table(roff: &mut Roff, rows: &[Vec<&str>]) {
    let Some((heads, rows)) = rows.split_first() else { return };
    for row in rows.iter().filter(|row| !row.iter().all(|cell| cell.starts_with("---"))) {
        roff.control("TP", []);
        roff.text(inline(row.first().copied().unwrap_or_default()));
        let others: Vec<_> =
            heads.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty()).collect();
        let mut line = Vec::new();
        for (head, cell) in &others {
            if !line.is_empty() {
                line.push(roman("; "));
            }
            if others.len() > 1 && !head.is_empty() {
                line.extend(inline(head));
                line.push(roman(": "));
            }
            line.extend(inline(cell));
        }
        roff.text(line);
    }
    roff.control("PP", []);
}

/// Text with code and strong parts in bold, and links as their words.
fn inline(text: &str) -> Vec<Inline> {
    let text = text.replace("**", "`");
    let mut parts = Vec::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            parts.push(bold(part));
        } else {
            parts.push(roman(part));
        }
    }
    parts
}
