use std::{
    env,
    fmt::Display,
    process::{Command, Stdio},
};

/// What was tried, if it succeeded. If not, prints why the test is skipped and returns `None`; with
/// `CI` set it panics instead, so that no test is skipped there.
#[track_caller]
pub fn require<T>(what: &str, tried: Result<T, impl Display>) -> Option<T> {
    match tried {
        Ok(value) => Some(value),
        Err(why) => {
            assert!(env::var_os("CI").is_none(), "a test needs {what}: {why}");
            eprintln!("skipped: the test needs {what}: {why}");
            None
        }
    }
}

/// Whether the shell command `words` succeeds: for programs of other packages and privileges that a
/// test [`require`]s.
#[track_caller]
pub fn can(words: &str) -> bool {
    require(&format!("`{words}`"), succeeds(Command::new("sh").args(["-c", words]))).is_some()
}

/// Runs `command` to its end; its exit status and standard error if it fails.
pub(crate) fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}, {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}
