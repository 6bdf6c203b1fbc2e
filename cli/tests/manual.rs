//! Manual pages and completions, as packages have them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use towline_config::Key;
use towline_test_support::{Run, can, refusal, towline};

/// A folder of this test, with the pages.
fn pages(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    let run = towline(&["man", folder.to_str().unwrap(), "--date", "2026-01-02"]);
    assert_eq!((run.code, &*run.stdout, &*run.stderr), (0, "", ""));
    folder
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A page as a reader sees it, with one space between words.
fn shown(page: &Path) -> String {
    let run = Run::of(Command::new("mandoc").args(["-Tutf8", "-O", "width=1000"]).arg(page));
    // Bold and underlined characters are written twice on a terminal.
    let mut text = String::new();
    for character in run.stdout.chars() {
        if character == '\u{8}' {
            text.pop();
        } else {
            text.push(character);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn there_is_a_page_for_each_command_that_help_lists_and_none_for_a_hidden_one() {
    let folder = pages("pages-of-commands");
    let names = names(&folder);
    let help = towline(&["--help"]).stdout;
    let commands = help.split("\nCommands:\n").nth(1).unwrap();
    let listed = commands.lines().take_while(|line| !line.is_empty());
    let listed: Vec<_> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.contains(&"serve") && listed.contains(&"help"), "{listed:?}");
    for command in listed.iter().filter(|command| **command != "help") {
        assert!(names.contains(&format!("towline-{command}.1")), "{command} in {names:?}");
    }
    for page in ["towline.1", "towline-ctl-kill.1", "towline.toml.5", "towline-protocol.7"] {
        assert!(names.contains(page), "{page} in {names:?}");
    }
    let hidden = ["worker", "man", "completions", "help"];
    assert!(!hidden.iter().any(|command| names.contains(&format!("towline-{command}.1"))));
}

#[test]
fn the_pages_pass_two_checkers_without_a_warning() {
    if !can("mandoc -Tlint /dev/null; command -v mandoc && command -v groff") {
        return;
    }
    let folder = pages("checked-pages");
    for name in names(&folder) {
        let page = folder.join(&name);
        let checkers = [
            Run::of(Command::new("mandoc").args(["-Tlint", "-W", "warning"]).arg(&page)),
            Run::of(Command::new("groff").args(["-man", "-ww", "-z", "-k", "-Tutf8"]).arg(&page)),
        ];
        for Run { code, stdout, stderr } in checkers {
            assert_eq!((code, &*stdout, &*stderr), (0, "", ""), "{name}");
        }
    }
}

#[test]
fn the_page_of_the_configuration_file_has_every_key_with_meaning_and_variable() {
    if !can("command -v mandoc") {
        return;
    }
    let text = shown(&pages("page-of-keys").join("towline.toml.5"));
    for key in Key::all() {
        let doc: String = key.doc.replace('`', "");
        assert!(text.contains(&doc), "{doc:?} in {text}");
        assert!(text.contains(&key.variable()), "{key:?}");
        let line = format!("{} = {}", key.field(), key.default().to_toml());
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn the_page_of_the_protocol_has_the_error_lines_and_no_name_of_a_test() {
    if !can("command -v mandoc") {
        return;
    }
    let text = shown(&pages("page-of-protocol").join("towline-protocol.7"));
    for line in ["ERR timeout", "ERR overloaded", "ERR line too long", "ERR too many connections"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains(".rs") && !text.contains("fault_") && !text.contains('`'), "{text}");
}

#[test]
fn a_folder_that_cannot_be_made_and_a_wrong_date_are_said_in_a_sentence() {
    let run = towline(&["man", "/proc/pages"]);
    assert_eq!((run.code, &*run.stdout), (1, ""));
    assert!(run.stderr.starts_with("towline: cannot write /proc/pages: "), "{run:?}");
    assert!(refusal(&["man", "/tmp", "--date", "today"]).contains("such as 2026-11-28"));
    assert!(refusal(&["completions", "tcsh"]).contains("'tcsh'"));
}

/// What is typed, and the one word that completes it.
const TYPED: [(&str, &str); 4] = [
    ("towline lo", "load"),
    ("towline serve --workl", "--workload"),
    ("towline serve --workload sh", "sha256"),
    ("towline ctl ki", "kill"),
];

/// The completion script of `shell` in a file of its own.
fn script(shell: &str) -> PathBuf {
    let run = towline(&["completions", shell]);
    assert_eq!((run.code, &*run.stderr), (0, ""));
    for hidden in ["towline worker", "--worker-process"] {
        assert!(!run.stdout.contains(hidden), "{shell}: {hidden}");
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("completions-{shell}"));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("_towline");
    fs::write(&file, run.stdout).unwrap();
    file
}

#[test]
fn bash_completes_commands_flags_and_words() {
    let script = script("bash");
    for (typed, completed) in TYPED {
        let words: Vec<_> = typed.split(' ').collect();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let commands = format!(
            "source {}; COMP_WORDS=({typed}); COMP_CWORD={}; _towline towline {last} {before}; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.len() - 1
        );
        let run = Run::of(Command::new("bash").args(["--norc", "-c", &commands]));
        assert_eq!((&*run.stdout, &*run.stderr), (&*format!("{completed}\n"), ""), "{typed}");
    }
}

#[test]
fn fish_completes_commands_flags_and_words() {
    if !can("fish --version") {
        return;
    }
    let script = script("fish");
    for (typed, completed) in TYPED {
        let commands = format!("source {}; complete -C '{typed}'", script.display());
        let run = Run::of(Command::new("fish").args(["--no-config", "-c", &commands]));
        let first = run.stdout.lines().next().and_then(|line| line.split('\t').next());
        assert_eq!((first, &*run.stderr), (Some(completed), ""), "{typed}: {run:?}");
    }
}

#[test]
fn zsh_completes_commands_flags_and_words() {
    if !can("zsh --version") {
        return;
    }
    let script = script("zsh");
    let folder = script.parent().unwrap().display();
    for (typed, completed) in TYPED {
        // A shell in a terminal of its own, in which a tab is pressed; it is read until the word shows.
        let commands = format!(
            "zmodload zsh/zpty; zpty shell zsh -f; \
             zpty -w shell \"PS1=; fpath=({folder} \\$fpath); autoload -U compinit; compinit -u -D; echo rea''dy\"; \
             zpty -r shell shown '*ready*'; \
             zpty -w -n shell \"{typed}\"$'\\t'; \
             zpty -r shell shown '*{completed}*'; echo completed"
        );
        let run = Run::of(Command::new("timeout").args(["60", "zsh", "-f", "-c", &commands]));
        assert!(run.stdout.ends_with("completed\n"), "{typed}: {run:?}");
    }
}
