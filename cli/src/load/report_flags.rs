//! The flags that `towline load` and `towline load merge` share: where the report goes, and what it is
//! checked against.

use std::path::PathBuf;

use towline_load::Assertion;

/// Where the report goes, and what it is checked against.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(crate) struct ReportFlags {
    /// Exit with code 3 unless this holds, such as 'p99<10ms' (repeatable)
    #[arg(long = "assert", value_name = "EXPR", value_parser = Assertion::parse)]
    pub(super) assertions: Vec<Assertion>,
    /// Write the report as JSON; - is standard output
    #[arg(long, value_name = "FILE|-")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as a self-contained HTML page with charts
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write the latency over time as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub(super) hdr: Option<PathBuf>,
}
