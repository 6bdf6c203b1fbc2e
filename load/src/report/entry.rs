//! An entry of the text report: a label, and a text wrapped beside it.

use std::fmt;

/// The width of the text.
pub(super) const COLUMNS: usize = 80;
/// The width of the labels in front of the text.
pub(super) const LABEL: usize = 14;

/// Writes a label and a text, which is wrapped at spaces and indented. A number stays with the word
/// after it, which may be its unit.
pub(super) fn entry(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    write!(f, "{label:LABEL$}")?;
    let mut column = LABEL.max(label.chars().count());
    let mut first = true;
    let mut rest = text;
    while !rest.is_empty() {
        let (chunk, after) = unbreakable(rest);
        let length = chunk.chars().count();
        if !first && column + 1 + length > COLUMNS {
            write!(f, "\n{:LABEL$}", "")?;
            column = LABEL;
        } else if !first {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(chunk)?;
        column += length;
        (rest, first) = (after, false);
    }
    writeln!(f)
}

/// Splits a text at the first space that does not follow a digit.
fn unbreakable(text: &str) -> (&str, &str) {
    let breaks = text.match_indices(' ').map(|(at, _)| at);
    let found = breaks.into_iter().find(|at| !text[..*at].ends_with(|c: char| c.is_ascii_digit()));
    found.map_or((text, ""), |at| (&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Entry(&'static str, String);

    impl fmt::Display for Entry {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            entry(f, self.0, &self.1)
        }
    }

    #[test]
    fn an_entry_is_wrapped_and_indented() {
        let text = Entry("note", "sixteen letters, ".repeat(8)).to_string();
        assert!(text.starts_with("note          sixteen letters,"), "{text}");
        for line in text.lines() {
            assert!(line.len() <= COLUMNS, "{line}");
        }
        assert!(text.lines().skip(1).all(|line| line.starts_with("              ")), "{text}");
        assert_eq!(text.split_whitespace().count(), 1 + 16);
        let text = Entry("note", "31.2 MiB and ".repeat(20)).to_string();
        assert!(!text.contains("31.2\n"), "{text}");
    }
}
