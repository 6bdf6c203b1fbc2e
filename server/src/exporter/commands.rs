//! Metrics of the commands of a router.

use towline_middleware::stats::{COARSE, CommandResult, CommandSnapshot};

use super::family::{Labels, Values};

/// Adds the metrics of commands, if there is a router.
pub(super) fn add_families(
    commands: &[CommandSnapshot],
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let label = |command: &CommandSnapshot| ("command", escaped(command.command));
    let mut ended = Vec::with_capacity(commands.len() * CommandResult::ALL.len());
    for command in commands {
        for result in CommandResult::ALL {
            let labels = vec![label(command), ("result", result.label().to_owned())];
            ended.push((labels, command.results[result as usize]));
        }
    }
    if !ended.is_empty() {
        add(
            "towline_commands_total",
            "Commands by result. error: the reply is an error. other: commands that the server does not \
             have.",
            Values::Counter(ended),
        );
    }
    let took = |command: &CommandSnapshot| -> Option<(Labels, _)> {
        Some((vec![label(command)], command.durations.clone()?))
    };
    let took: Vec<_> = commands.iter().filter_map(took).collect();
    if !took.is_empty() {
        add(
            "towline_command_duration_seconds",
            "Time from a command to the end of its reply, what it waits for included.",
            Values::Histogram(&COARSE, took),
        );
    }
}

/// A verb as a label value: it may have quotation marks and backslashes. The façade takes them as they are
/// here; a backslash that is not escaped it leaves out.
fn escaped(verb: &str) -> String {
    verb.replace('\\', r"\\").replace('"', r#"\""#)
}
