//! A page without requests that have no effect: checkers of manual pages warn about each.

/// Defines the quotes that escaped text refers to.
const PREAMBLE: [&str; 2] = [".ie ", ".el "];

/// `page` with one preamble, and without paragraphs and breaks beside a request that begins one.
pub(super) fn tidy(page: &str) -> String {
    let preamble = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    let mut tidied = preamble.to_owned();
    let lines = page.lines().filter(|line| !PREAMBLE.iter().any(|start| line.starts_with(start)));
    let lines: Vec<_> = lines.collect();
    let mut before = "";
    for (at, line) in lines.iter().enumerate() {
        let after = lines.get(at + 1).copied().unwrap_or(".SH");
        let begins =
            |line: &str| [".SH", ".TP", ".IP", ".PP"].iter().any(|it| line.starts_with(it));
        let has_effect = match *line {
            ".PP" => !before.starts_with(".SH") && !begins(after),
            ".br" => before != ".br",
            // An empty line beside a break is a break.
            "" => false,
            _ => true,
        };
        if has_effect {
            tidied.push_str(line);
            tidied.push('\n');
            before = line;
        }
    }
    tidied
}
