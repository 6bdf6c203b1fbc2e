//! A file of `/proc` that is kept open.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
};

/// Longest text that is read. The files that are kept open have some kilobytes.
const BYTES_MAX: u64 = 1 << 20;

/// A file of `/proc`, opened once and read again from its beginning each time.
///
/// Stays readable when the process has no descriptor left. Reads as empty where the kernel has no such
/// file.
#[derive(Debug)]
pub struct ProcFile(Option<File>);

impl ProcFile {
    /// Opens the file at `path`.
    pub fn open(path: &str) -> Self {
        Self(File::open(path).ok())
    }

    /// The text of the file now; empty if it cannot be read.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let read =
            self.rewound().map(|mut file| file.by_ref().take(BYTES_MAX).read_to_string(&mut text));
        // A part of the text would be taken for the whole.
        if matches!(read, Some(Ok(bytes)) if (bytes as u64) < BYTES_MAX) {
            text
        } else {
            String::new()
        }
    }

    fn rewound(&self) -> Option<&File> {
        let mut file = self.0.as_ref()?;
        file.rewind().ok()?;
        Some(file)
    }
}
