//! Where a report goes. Files are opened before the run, so that an hour of load does not end at a
//! path that cannot be written; what was there is kept until there is something to replace it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use towline_load::{LoadError, Report};

use super::args::ReportFlags;

/// The open ends of a report.
#[derive(Debug)]
pub(super) struct Output {
    json: Option<Sink>,
    html: Option<Sink>,
    hdr: Option<Sink>,
}

/// One open end.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Standard output.
    Standard,
    /// A file, and whether it was not there before.
    File { path: PathBuf, file: File, new: bool },
}

impl Output {
    /// Opens everything that will be written.
    pub(super) fn open(flags: &ReportFlags) -> Result<Self, LoadError> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Sink::open).transpose();
        Ok(Self { json: open(&flags.json)?, html: open(&flags.html)?, hdr: open(&flags.hdr)? })
    }

    /// Writes the report everywhere; as text on standard output unless the JSON goes there.
    pub(super) fn write(self, report: &Report) -> Result<(), LoadError> {
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

    /// There is no report: files that were not there before go again.
    pub(super) fn abandon(self) {
        for sink in [self.json, self.html, self.hdr].into_iter().flatten() {
            if let Sink::File { path, new: true, .. } = sink {
                // Left behind, it is an empty file: a blemish, and the run's error is being told.
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

    /// Replaces what was there by `text`.
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
            // A reader that left early (`towline load … | head`) wanted no more.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(e) => {
                Err(LoadError::failed(format!("the report cannot be written to {name}: {e}")))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// What was there goes only now; a pipe or a device has nothing to go.
fn truncate(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}
