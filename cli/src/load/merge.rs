//! `towline load merge`: merges the reports of several hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use towline_load::{LoadError, Report};

use super::output::Output;
use super::report_flags::ReportFlags;

/// Merge the JSON reports of several hosts into one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Reports written by `towline load --json`
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    report: ReportFlags,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, LoadError> {
    let reports: Vec<Report> =
        args.files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    let merged = Report::merge(&reports)?;
    Output::open(&args.report)?.conclude(&merged, &args.report.assertions)
}

fn read(file: &Path) -> Result<Report, LoadError> {
    let wrong = |what: String| LoadError::usage(format!("{} {what}", file.display()));
    let text = fs::read(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    serde_json::from_slice(&text)
        .map_err(|e| wrong(format!("is not a report of towline load --json: {e}")))
}
