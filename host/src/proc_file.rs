//! A file of `/proc` that is kept open.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
};

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
        let read = self.rewound().map(|mut file| file.read_to_string(&mut text));
        // A part of the text would be taken for the whole.
        if matches!(read, Some(Ok(_))) { text } else { String::new() }
    }

    fn rewound(&self) -> Option<&File> {
        let mut file = self.0.as_ref()?;
        file.rewind().ok()?;
        Some(file)
    }
}
