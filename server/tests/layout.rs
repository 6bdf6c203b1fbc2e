//! The layout that ARCHITECTURE.md describes.

use std::{collections::BTreeSet, fs, path::Path};

/// Modules of the crate, in the order in which they may use each other: each only those before it.
const ORDER: [&str; 19] = [
    "error",
    "proxy_protocol",
    "counts",
    "tls",
    "hooks",
    "live_config",
    "plan",
    "closed",
    "accept",
    "stack",
    "shard",
    "connections",
    "exporter",
    "lifecycle",
    "overload",
    "control",
    "admin",
    "serve",
    "server",
];

/// Assembled from everything, and used by no module of `ORDER`.
const TOP: [&str; 4] = ["builder", "internal", "lib", "test"];

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// Modules that the sources below `path` name in `crate::…` paths.
fn used_below(path: &Path, used: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder of the sources") {
            used_below(&entry.expect("an entry").path(), used);
        }
        return;
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    let text = fs::read_to_string(path).expect("a source file");
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    for after in code.split("crate::").skip(1) {
        let names = match after.strip_prefix('{') {
            Some(group) => first_names(group),
            None => vec![word(after)],
        };
        used.extend(names.into_iter().filter(|name| rank(name).is_some()));
    }
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first name of each path in a `use crate::{…}` group.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && !c.is_whitespace() => {
                names.push(word(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn each_module_uses_only_those_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in ORDER {
        let mut used = BTreeSet::new();
        for path in [source.join(module), source.join(module).with_extension("rs")] {
            if path.exists() {
                used_below(&path, &mut used);
            }
        }
        let above: Vec<_> = used.iter().filter(|name| rank(name) > rank(module)).collect();
        assert!(above.is_empty(), "{module} uses {above:?}, which are above it");
    }
}

#[test]
fn every_module_has_its_place_and_the_root_has_fewer_than_ten_files() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut strangers) = (0, Vec::new());
    for entry in fs::read_dir(source).expect("the sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        files += usize::from(path.is_file());
        if rank(&name).is_none() && !TOP.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    assert!(strangers.is_empty(), "{strangers:?} stand in no order");
    assert!(files < 10, "{files} files");
}
