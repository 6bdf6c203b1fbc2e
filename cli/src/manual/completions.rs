//! Completion scripts of shells.

use clap::{Command, builder::PossibleValuesParser};
use clap_complete::Shell;
use towline_config::Key;

/// The script of `shell` for `command`, without what is hidden. Values of settings that are one of a
/// few words are completed.
pub(super) fn script(shell: Shell, command: &Command) -> String {
    let mut command = command.clone();
    command.build();
    let mut shown = shown(&command);
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut shown, "towline", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a user sees of `command`: generators for some shells include hidden commands and flags.
fn shown(command: &Command) -> Command {
    let below = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
    // `build` added them, and clap adds them again.
    let own = |id: &str| !["help", "version"].contains(&id);
    let args =
        command.get_arguments().filter(|arg| !arg.is_hide_set() && own(arg.get_id().as_str()));
    let args = args.cloned().map(|arg| match Key::find(arg.get_id().as_str()).and_then(words) {
        // The program itself does not let clap check them: its own table has the better sentence.
        Some(words) => arg.value_parser(PossibleValuesParser::new(words)),
        None => arg,
    });
    let mut shown = Command::new(command.get_name().to_owned())
        .disable_help_subcommand(true)
        .args(args)
        .subcommands(below.map(self::shown));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}

/// The words of a key that accepts nothing else.
fn words(key: &Key) -> Option<Vec<String>> {
    let placeholder = key.placeholder();
    let is_word = |word: &str| {
        word.chars()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '_')
    };
    placeholder.split('|').all(is_word).then(|| placeholder.split('|').map(str::to_owned).collect())
}
