//! Where a report goes. Files are opened before the run, so that an hour of load does not end with a
//! path that cannot be written. Their old content is kept until the report replaces it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use towline_load::{Assertion, LoadError, Report};

use super::report_flags::ReportFlags;
use crate::exit;

/// The opened outputs of a report.
#[derive(Debug)]
pub(super) struct Output {
    json: Option<Sink>,
    html: Option<Sink>,
    hdr: Option<Sink>,
}

/// An opened output.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Standard output.
    Standard,
    /// A file; `new` if it did not exist before.
    File { path: PathBuf, file: File, new: bool },
}

impl Output {
    /// Opens all outputs.
    pub(super) fn open(flags: &ReportFlags) -> Result<Self, LoadError> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Sink::open).transpose();
        Ok(Self { json: open(&flags.json)?, html: open(&flags.html)?, hdr: open(&flags.hdr)? })
    }

    /// Writes the report, prints the reasons of its verdict, and returns the verdict as exit code.
    pub(super) fn conclude(
        self,
        report: &Report,
        assertions: &[Assertion],
    ) -> Result<ExitCode, LoadError> {
        let (verdict, reasons) = report.verdict(assertions);
        let print_reasons = || {
            for sentence in &reasons {
                exit::with(verdict.exit_code(), sentence);
            }
        };
        // A run without a connection has no figures: why there was none comes first.
        let reasons_first = report.connections.established == 0;
        if reasons_first {
            print_reasons();
        }
        self.write(report)?;
        if !reasons_first {
            print_reasons();
        }
        Ok(ExitCode::from(verdict.exit_code()))
    }

    /// Writes the report to every output, and as text to standard output unless the JSON goes there.
    fn write(self, report: &Report) -> Result<(), LoadError> {
        if !matches!(self.json, Some(Sink::Standard)) {
            Sink::Standard.write(report.text().to_string().as_bytes())?;
        }
        if let Some(sink) = self.json {
            let mut text = serde_json::to_vec(report).map_err(|e| {
                LoadError::failed(format!("the report cannot be written as JSON: {e}"))
            })?;
            text.push(b'\n');
            sink.write(&text)?;
        }
        if let Some(sink) = self.html {
            sink.write(report.html().as_bytes())?;
        }
        if let Some(sink) = self.hdr {
            sink.write(&report.hdr_log()?)?;
        }
        Ok(())
    }

    /// Removes the files that did not exist before, because there is no report.
    pub(super) fn abandon(self) {
        for sink in [self.json, self.html, self.hdr].into_iter().flatten() {
            if let Sink::File { path, new: true, .. } = sink {
                // If that fails an empty file is left behind; the error of the run is what matters.
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Sink {
    /// Whether this is standard output.
    pub(crate) fn is_standard(&self) -> bool {
        matches!(self, Self::Standard)
    }

    /// Opens a path for writing; `-` is standard output.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        let new = !path.exists();
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|e| {
            LoadError::usage(format!("the report cannot be written to {}: {e}", path.display()))
        })?;
        Ok(Self::File { path: path.to_owned(), file, new })
    }

    /// Replaces the content by `text`.
    pub(crate) fn write(self, text: &[u8]) -> Result<(), LoadError> {
        let (name, written) = match self {
            Self::Standard => {
                let mut out = io::stdout().lock();
                ("standard output".to_owned(), out.write_all(text).and_then(|()| out.flush()))
            }
            Self::File { path, mut file, .. } => {
                let written = truncate(&file).and_then(|()| file.write_all(text));
                (path.display().to_string(), written)
            }
        };
        match written {
            // The reader closed the pipe (`towline load … | head`).
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(e) => {
                Err(LoadError::failed(format!("the report cannot be written to {name}: {e}")))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Removes the old content of a file. Pipes and devices have none.
fn truncate(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}
