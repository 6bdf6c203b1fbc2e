//! towline.toml(5): every key of the configuration file, from the table of keys.

use clap_mangen::roff::{Roff, bold, italic, roman};
use towline_config::{Key, Reload};

use super::{
    extra::{self, with_code},
    title::{Title, see_also},
};
use crate::help;

const ABOUT: [&str; 3] = [
    "A TOML file with sections. Nothing has to be set: an empty file, or no file, means the built-in \
     values. `towline serve --config FILE` reads it, and reads it again on SIGHUP.",
    "Numbers are written 10000, 10_000 or \"10k\"; sizes \"64KiB\", \"1MB\" or 65536; times \"5s\", \
     \"250ms\" or 5, which is seconds.",
    "`towline config` prints what a server would run with and where each value comes from; with \
     `--check` it only says what is wrong.",
];

/// The text of the page.
pub(super) fn render(title: &Title<'_>) -> String {
    let mut roff = title.page();
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in ABOUT {
        roff.control("PP", []);
        roff.text(with_code(paragraph));
    }
    for (section, about) in towline_config::sections() {
        roff.control("SH", [&*format!("[{section}]")]);
        roff.text(with_code(about));
        for key in Key::all().iter().filter(|key| key.section() == *section) {
            entry(&mut roff, key);
        }
    }
    roff.control("SH", ["SOURCES"]);
    roff.extend([extra::sections(help::PRECEDENCE)]);
    let pages =
        [("towline", 1), ("towline-serve", 1), ("towline-config", 1), ("towline-ctl-set", 1)];
    see_also(&mut roff, title, &pages);
    roff.to_roff()
}

fn entry(roff: &mut Roff, key: &Key) {
    roff.control("TP", []);
    let default = key.default().to_toml();
    roff.text([bold(key.field()), roman(" = "), italic(default)]);
    roff.text(with_code(key.doc));
    roff.control("IP", []);
    let mut line = vec![roman(format!("Accepts {}.", key.expected()))];
    if let Some(flag) = key.flag {
        line.extend([roman(" Flag "), bold(flag), roman(".")]);
    }
    let takes_effect = match key.reload {
        Reload::Live => "SIGHUP",
        _ => "restart",
    };
    line.extend([
        roman(" Environment "),
        bold(key.variable()),
        roman(format!(". Takes effect on {takes_effect}.")),
    ]);
    roff.text(line);
}
