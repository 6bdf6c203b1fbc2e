//! The page of a command: what clap knows of it, and what stands below its help.

use clap::Command;
use clap_mangen::Man;

use super::{
    extra,
    title::{Title, see_also},
};

/// The page of `command` and those of the commands below it, without hidden ones.
pub(super) fn all(command: &Command, date: &str) -> Vec<(String, String)> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    let pages = below.flat_map(|command| all(command, date));
    [page(command, date)].into_iter().chain(pages).collect()
}

fn page(command: &Command, date: &str) -> (String, String) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let about = about.lines().next().unwrap_or_default().trim_end_matches('.');
    let title = Title { name, section: 1, about, date };
    let man = Man::new(command.clone());
    let mut text = title.page().to_roff();
    let sections = [
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
    ];
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    for section in sections {
        let _ = section(&man, &mut bytes);
    }
    let visible = |command: &&Command| !command.is_hide_set();
    if command.get_subcommands().any(|command| visible(&command)) {
        let _ = man.render_subcommands_section(&mut bytes);
    }
    text.push_str(&String::from_utf8_lossy(&bytes));
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let mut roff = extra::sections(&after.map(ToString::to_string).unwrap_or_default());
    let below = command.get_subcommands().filter(visible);
    let mut pages = vec![("towline".to_owned(), 1)];
    pages.extend(below.filter_map(|it| Some((it.get_display_name()?.to_owned(), 1))));
    pages.extend([("towline.toml".to_owned(), 5), ("towline-protocol".to_owned(), 7)]);
    let pages: Vec<_> = pages.iter().map(|(name, section)| (&**name, *section)).collect();
    see_also(&mut roff, &title, &pages);
    text.push_str(&roff.to_roff());
    (title.file_name(), text)
}
