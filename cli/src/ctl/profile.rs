//! A CPU profile of a running server, as a flame graph.
//!
//! perf(1) samples the server from outside: see `docs/decisions/0111-profiles-are-taken-from-outside.md`.

use std::{
    fs,
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use inferno::{
    collapse::{
        Collapse as _,
        perf::{Folder, Options},
    },
    flamegraph,
};
use serde_json::json;

use super::{Failure, target::Server};

/// Samples in a second of CPU time. Not a round number, so that what happens periodically is not met each time.
const SAMPLES_PER_SECOND: &str = "99";

/// How callers are found: from this much of each stack, because binaries are built without frame pointers.
const CALL_GRAPH: &str = "dwarf,16384";

/// Longest time of a profile.
const SECONDS_MAX: u64 = 300;

/// What is sampled, and where the result goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Profile {
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// The flame graph; or the stacks, if it ends in .folded
    #[arg(long, short, value_name = "FILE", default_value = "towline-profile.svg")]
    output: PathBuf,
}

/// Samples all processes of the server. Returns what is printed.
pub(super) fn run(server: &Server, profile: &Profile, json: bool) -> Result<String, Failure> {
    let Profile { seconds, output } = profile;
    let file = output.display();
    let processes = processes_of(server.process()?);
    let unwritten = |error| Failure::failed(format!("{file} cannot be written: {error}"));
    // Before the samples are taken, which would be lost. A profile that is there already stays until there is another.
    let is_new = !output.exists();
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(output);
    let written = opened.map_err(unwritten)?;
    let folded = sample(&processes, *seconds).inspect_err(|_| {
        if is_new {
            let _ = fs::remove_file(output);
        }
    })?;
    write(&folded, output, &written, *seconds).map_err(unwritten)?;
    let cpu_seconds = folded.lines().filter_map(nanos).sum::<u64>() as f64 / 1e9;
    let count = processes.len();
    Ok(if json {
        let answer = json!({ "file": output, "cpu_seconds": cpu_seconds, "processes": processes });
        format!("{answer}\n")
    } else {
        let of = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
        format!("{file}: {cpu_seconds:.2} s of CPU time of {of} in {seconds} s\n")
    })
}

/// The server's process, and its workers.
fn processes_of(server: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{server}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children = children.flat_map(|list| {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    });
    [server].into_iter().chain(children).collect()
}

/// CPU time by stacks, as lines `thread;caller;function NANOSECONDS`.
fn sample(processes: &[u32], seconds: u64) -> Result<String, Failure> {
    let pids = processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut record = perf(&[
        &["record", "-q", "-e", "cpu-clock", "-F", SAMPLES_PER_SECOND, "--call-graph", CALL_GRAPH],
        &["-p", &pids, "-o", "-", "--", "sleep", &seconds.to_string()],
    ])
    .stdin(Stdio::null())
    .stderr(Stdio::piped())
    .spawn()
    .map_err(|error| Failure::failed(unavailable(&error)))?;
    let recorded = record.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let script = perf(&[&["script", "--no-inline", "-i", "-"]])
        .stdin(recorded)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::failed(unavailable(&error)));
    let folded = script.and_then(|script| {
        fold(script).map_err(|error| Failure::failed(format!("perf script: {error}")))
    });
    // Both end with the time, or with an error that the first one says.
    let said = record.stderr.take().map(io::read_to_string).transpose();
    let ended = record.wait();
    if !ended.is_ok_and(|status| status.success()) {
        let said = said.ok().flatten().unwrap_or_default();
        let why = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it was ended");
        return Err(Failure::failed(format!("perf record: {}", why.trim())));
    }
    let folded = folded?;
    if folded.is_empty() {
        return Err(Failure::failed(format!("the server used no CPU time in {seconds} s")));
    }
    Ok(folded)
}

fn perf(arguments: &[&[&str]]) -> Command {
    let mut command = Command::new("perf");
    command.args(arguments.concat()).stdout(Stdio::piped());
    command
}

fn unavailable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "a profile is taken by perf, which is not installed (Debian: linux-perf)".to_owned()
        }
        _ => format!("perf cannot be started: {error}"),
    }
}

fn fold(mut script: Child) -> io::Result<String> {
    let mut folded = Vec::new();
    if let Some(stacks) = script.stdout.take() {
        let mut stacks = BufReader::new(stacks);
        // Without a sample there is nothing to collapse, which is an error to it.
        let collapsed = Folder::from(Options::default()).collapse(&mut stacks, &mut folded);
        if let Err(error) = collapsed
            && error.kind() != io::ErrorKind::InvalidData
        {
            return Err(error);
        }
    }
    script.wait()?;
    String::from_utf8(folded).map_err(io::Error::other)
}

fn write(folded: &str, path: &Path, mut file: &fs::File, seconds: u64) -> io::Result<()> {
    // Not a pipe, which has no end to set.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    if path.extension().is_some_and(|extension| extension == "folded") {
        return file.write_all(folded.as_bytes());
    }
    let mut options = flamegraph::Options::default();
    options.title = format!("CPU time of towline in {seconds} s");
    "nanoseconds".clone_into(&mut options.count_name);
    options.deterministic = true;
    flamegraph::from_lines(&mut options, folded.lines(), file)
}

/// The time at the end of a line.
fn nanos(line: &str) -> Option<u64> {
    line.rsplit_once(' ')?.1.parse().ok()
}
