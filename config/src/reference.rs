//! The reference configuration file, written from the table of keys.

use std::fmt::Write as _;

use crate::{
    key::{Key, Reload},
    table::SECTIONS,
};

const HEADER: &str = "\
# Towline: every setting, with its built-in value.
#
# Nothing here has to be set: an empty file, or no file, means the same. This file overrides a
# --profile, and is overridden by the environment and by flags. `towline config` prints what a
# server would run with and where each value comes from.
#
# Numbers: 10000, 10_000, \"10k\". Sizes: \"64KiB\", \"1MB\", 65536. Times: \"5s\", \"250ms\", 5 (seconds).
#
# This file is generated from the program's table of keys, and a test keeps it current.
";

/// Most columns of a comment line.
const COLUMNS_MAX: usize = 98;

/// The text of `config/towline.toml`: every key with its meaning, what it accepts, its flag and
/// variable, and its default.
pub fn reference() -> String {
    let mut text = HEADER.to_owned();
    for (section, about) in SECTIONS {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n# {about}\n[{section}]\n");
        for key in Key::all().iter().filter(|key| key.section() == *section) {
            comment(&mut text, key.doc);
            comment(&mut text, &format!("Accepts {}.", key.expected()));
            comment(&mut text, &spellings(key));
            let _ = writeln!(text, "{} = {}\n", key.field(), key.default().to_toml());
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The TOML tables in the order of the reference file, with a sentence about each.
pub fn sections() -> &'static [(&'static str, &'static str)] {
    SECTIONS
}

fn spellings(key: &Key) -> String {
    let flag = key.flag.map_or_else(|| "No flag".to_owned(), |flag| format!("Flag {flag}"));
    let takes_effect = match key.reload {
        Reload::Live => "SIGHUP",
        Reload::Restart => "restart",
    };
    format!("{flag}, environment {}. Takes effect on {takes_effect}.", key.variable())
}

/// Appends `sentences` as comment lines of at most [`COLUMNS_MAX`] columns.
fn comment(text: &mut String, sentences: &str) {
    let mut line = String::from("#");
    for word in sentences.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS_MAX {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
