//! What stands below the flags in a help text, as sections of a page.
//!
//! A line at the margin that ends in a colon and has indented lines below it is a heading, if it is
//! short; indented lines are kept as they are; other lines at the margin are paragraphs.

use clap_mangen::roff::{Roff, bold, roman};

/// A heading has no more words than these.
const HEADING_WORDS_MAX: usize = 3;

/// The sections of the help text `text`.
pub(super) fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut lines = text.lines().peekable();
    let mut has_section = false;
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if line.starts_with(' ') {
            let mut kept = vec![line];
            while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                kept.push(line);
            }
            verbatim(&mut roff, &kept);
            continue;
        }
        let before_indented = lines.peek().is_some_and(|line| line.starts_with(' '));
        if let Some((title, rest)) =
            line.strip_suffix(':').filter(|_| before_indented).and_then(heading)
        {
            roff.control("SH", [&*title]);
            has_section = true;
            if !rest.is_empty() {
                roff.text([roman(rest)]);
            }
            continue;
        }
        if !has_section {
            roff.control("SH", ["NOTES"]);
            has_section = true;
        }
        let mut paragraph = line.to_owned();
        while let Some(line) = lines.next_if(|line| !line.is_empty() && !line.starts_with(' ')) {
            paragraph.push(' ');
            paragraph.push_str(line);
        }
        roff.control("PP", []);
        roff.text(with_code(&paragraph));
    }
    roff
}

/// The title of a section in capitals and what follows it, if `line` is short enough for a heading.
fn heading(line: &str) -> Option<(String, String)> {
    let (title, rest) = match line.split_once(" (").or_else(|| line.split_once(", ")) {
        Some((title, rest)) => (title, rest.trim_end_matches(')')),
        None => (line, ""),
    };
    let title = if title == "Exit codes" { "Exit status" } else { title };
    let rest = if rest.is_empty() { String::new() } else { format!("{rest}:") };
    (title.split(' ').count() <= HEADING_WORDS_MAX).then(|| (title.to_uppercase(), rest))
}

/// Keeps line breaks and indentation.
fn verbatim(roff: &mut Roff, lines: &[&str]) {
    let indentation = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().map(indentation).min().unwrap_or(0);
    roff.control("PP", []);
    roff.control("EX", []);
    for line in lines {
        roff.text([roman(&line[least..])]);
    }
    roff.control("EE", []);
}

/// Text whose parts between backticks are bold.
pub(super) fn with_code(text: &str) -> Vec<clap_mangen::roff::Inline> {
    text.split('`')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) })
        .collect()
}
