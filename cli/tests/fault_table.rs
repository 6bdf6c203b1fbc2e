//! The table of `docs/FAULTS.md` names, in each row, the files that have tests of that fault.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The files with tests of each row, by the number in the names of the tests.
type Tests = BTreeMap<u32, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn add_tests_below(directory: &Path, tests: &mut Tests) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                add_tests_below(&path, tests);
            }
        } else if name.ends_with(".rs") {
            let file = path.strip_prefix(root()).unwrap().to_str().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| line.trim_start().split_once("fn fault_"));
            for (before, name) in names.filter(|(before, _)| matches!(*before, "" | "async ")) {
                let row = name.get(..2).and_then(|row| row.parse().ok());
                let row = row.unwrap_or_else(|| panic!("{file}: {before}fn fault_{name}"));
                tests.entry(row).or_default().insert(file.to_owned());
            }
        }
    }
}

/// The cells of each row of the table of faults.
fn table() -> Vec<(u32, [String; 4])> {
    let text = fs::read_to_string(root().join("docs/FAULTS.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("The faults")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split('|').map(|cell| cell.trim().to_owned());
        let row = cells.next()?.parse().ok()?;
        Some((row, std::array::from_fn(|_| cells.next().unwrap())))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn each_row_names_the_files_with_its_tests_or_says_why_there_are_none() {
    let mut tests = Tests::new();
    add_tests_below(&root(), &mut tests);
    let table = table();
    assert!(table.len() >= 45, "{} rows", table.len());
    for (row, [fault, demanded, named, _long_form]) in table {
        let Some(files) = tests.remove(&row) else {
            let says_why = named == "none" && demanded.contains("not built");
            assert!(says_why, "row {row}, {fault}: no test is named fault_{row:02}_…");
            continue;
        };
        let files: Vec<_> = files.iter().map(|file| format!("`{file}`")).collect();
        assert_eq!(named, files.join(", "), "row {row}, {fault}");
    }
    assert!(tests.is_empty(), "tests without a row: {tests:?}");
}
