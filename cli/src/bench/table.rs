//! Tables and paragraphs that fit a terminal.

use std::io;

use rustix::termios::tcgetwinsize;

/// Assumed where standard output is not a terminal.
const WIDTH_UNKNOWN: usize = 80;
/// Terminals narrower than this get two columns side by side, and short units.
const WIDE: usize = 160;
/// Columns side by side on a terminal that is not wide.
const NARROW_COLUMNS: usize = 2;
/// Spaces between two cells.
const GAP: usize = 2;

/// The width of a page, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width(usize);

/// A row of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Set for rows that belong to the one above: figures to compare it with.
    pub(super) aside: bool,
    /// One for each column.
    pub(super) cells: Vec<String>,
}

impl Width {
    /// The width of the terminal on standard output; 80 where there is none.
    pub(super) fn of_stdout() -> Self {
        let columns = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        Self(if columns == 0 { WIDTH_UNKNOWN } else { columns })
    }

    /// Whether there is room for many columns, and for units in full.
    pub(super) fn is_wide(self) -> bool {
        self.0 >= WIDE
    }

    /// The rows below the titles of their columns, in blocks of as many columns as fit side by side.
    pub(super) fn table(self, titles: &[String], rows: &[Row]) -> String {
        let name_width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..titles.len())
            .map(|at| {
                let cells = rows.iter().map(|row| &row.cells[at]).chain([&titles[at]]);
                GAP + cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut blocks = Vec::new();
        let mut from = 0;
        while from < titles.len() {
            let to = from + self.fitting(name_width, &widths[from..]);
            let line = |name: &str, cells: &[String]| {
                let cells = cells[from..to].iter().zip(&widths[from..to]);
                let cells: String = cells.map(|(cell, width)| format!("{cell:>width$}")).collect();
                format!("{name:name_width$}{cells}\n")
            };
            let lines = rows.iter().map(|row| line(row.name, &row.cells));
            blocks.push([line("", titles)].into_iter().chain(lines).collect::<String>());
            from = to;
        }
        blocks.join("\n")
    }

    /// How many of the columns stand side by side: at least one, even where it does not fit.
    fn fitting(self, name_width: usize, widths: &[usize]) -> usize {
        let most = if self.is_wide() { widths.len() } else { NARROW_COLUMNS };
        let ends = widths.iter().scan(name_width, |end, width| {
            *end += width;
            Some(*end)
        });
        ends.take(most).take_while(|end| *end <= self.0).count().max(1)
    }

    /// `text` behind `label`, wrapped between words; further lines are indented.
    pub(super) fn paragraph(self, label: &str, indent: usize, text: &str) -> String {
        let mut out = label.to_owned();
        let mut at = label.chars().count();
        let mut first = true;
        for word in text.split_whitespace() {
            let length = word.chars().count();
            if !first && at + 1 + length > self.0 {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                at = indent;
            } else if !first {
                out.push(' ');
                at += 1;
            }
            out.push_str(word);
            at += length;
            first = false;
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name, cells: [&str; 3]| Row {
            name,
            aside: false,
            cells: cells.map(str::to_owned).into(),
        };
        vec![row("name", ["12816.0 / 13819.8", "1", "22"]), row("µ", ["µs", "333", "4"])]
    }

    fn titles() -> Vec<String> {
        ["one", "two", "three"].map(str::to_owned).into()
    }

    #[test]
    fn a_narrow_page_has_two_columns_side_by_side() {
        let expected = [
            "                    one  two",
            "name  12816.0 / 13819.8    1",
            "µ                    µs  333",
            "",
            "      three",
            "name     22",
            "µ         4",
            "",
        ];
        assert_eq!(Width(80).table(&titles(), &rows()), expected.join("\n"));
    }

    #[test]
    fn no_line_is_longer_than_the_page_while_one_column_fits() {
        for width in [25, 40, 80, 160, 200] {
            let table = Width(width).table(&titles(), &rows());
            assert!(table.lines().all(|line| line.chars().count() <= width), "{width}:\n{table}");
        }
        assert_eq!(Width(160).table(&titles(), &rows()).lines().count(), 3);
        assert!(Width(10).table(&titles(), &rows()).contains("12816.0"), "nothing is left out");
    }

    #[test]
    fn paragraphs_are_wrapped_between_words() {
        let page = Width(16);
        assert_eq!(page.paragraph("label  ", 7, "one two three"), "label  one two\n       three\n");
        assert_eq!(page.paragraph("label: ", 2, "one two three"), "label: one two\n  three\n");
        assert_eq!(Width(5).paragraph("", 0, "longer than this"), "longer\nthan\nthis\n");
    }
}
