use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

/// What a run of a program left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Runs `command` to its end.
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let code = output.status.code();
        let code = code.unwrap_or_else(|| panic!("a signal ended it: {}", output.status));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The binary `towline`: Cargo builds it for the tests of `towline-cli`, beside the folder of their own.
pub(crate) fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    let binary = test.parent().unwrap().parent().unwrap().join("towline");
    assert!(binary.exists(), "{} is not built: only tests of towline-cli run it", binary.display());
    binary
}

/// Runs `towline` with these arguments and no environment.
#[track_caller]
pub fn towline(arguments: &[&str]) -> Run {
    towline_in(&[], arguments)
}

/// Runs `towline` with these arguments and only these variables in its environment.
#[track_caller]
pub fn towline_in(environment: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = Command::new(binary());
    Run::of(command.env_clear().envs(environment.iter().copied()).args(arguments))
}

/// The one sentence with which `towline` refuses: exit code 2, nothing on standard output.
#[track_caller]
pub fn refusal(arguments: &[&str]) -> String {
    refusal_in(&[], arguments)
}

/// Like [`refusal`], with only these variables in the environment.
#[track_caller]
pub fn refusal_in(environment: &[(&str, &str)], arguments: &[&str]) -> String {
    let run = towline_in(environment, arguments);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}: {run:?}");
    let sentence = run.stderr.strip_prefix("towline: ").unwrap();
    let sentence = sentence.strip_suffix('\n').unwrap();
    assert!(!sentence.contains('\n'), "{arguments:?}: more than one line: {sentence}");
    sentence.to_owned()
}
