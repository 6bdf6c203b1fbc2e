use crate::Lines;

const PONG: &[u8] = b"pong";

/// Removes the first line `pong`, and returns whether there was one.
pub(super) fn without_pong(lines: Lines) -> (Lines, bool) {
    let Some(at) = lines.iter().position(|line| line == PONG) else { return (lines, false) };
    let mut after = lines;
    let before = after.split_to(at);
    let _pong = after.split_to(1);
    let rest = match (before.is_empty(), after.is_empty()) {
        (true, _) => after,
        (_, true) => before,
        // Rare: other lines on both sides of it in one read.
        (false, false) => before.iter().chain(after.iter()).collect(),
    };
    (rest, true)
}
