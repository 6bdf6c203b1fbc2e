//! Runs the binary as a user would, in an environment of the test's own.

#![allow(dead_code, reason = "each test uses a part")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

/// What a run left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn towline(arguments: &[&str]) -> Run {
    towline_in(&[], arguments)
}

pub(crate) fn towline_in(environment: &[(&str, &str)], arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_towline"))
        .env_clear()
        .envs(environment.iter().copied())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The one sentence a refused run tells: exit code 2, nothing on standard output.
pub(crate) fn refusal(arguments: &[&str]) -> String {
    refusal_in(&[], arguments)
}

pub(crate) fn refusal_in(environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let run = towline_in(environment, arguments);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
    let sentence = run.stderr.strip_prefix("towline: ").unwrap();
    let sentence = sentence.strip_suffix('\n').unwrap();
    assert!(!sentence.contains('\n'), "{arguments:?}: more than one line: {sentence}");
    sentence.to_owned()
}

/// A file that is gone when the test is.
#[derive(Debug)]
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(text: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("toml");
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    pub(crate) fn remove(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }

    pub(crate) fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
