//! Whether files have changed.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use towline_config::Tls;

/// What tells a file from what stood at its path before.
type Stamp = (u64, u64, u64, i64, i64);

/// The files that the settings name, as they stood when they were looked at. A symbolic link stands for what it
/// points to, so a Kubernetes secret that is replaced has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileStamps(Vec<Option<Stamp>>);

impl FileStamps {
    /// Looks at the files. A missing file has no stamp.
    ///
    /// *Costs*: a system call for each file, which blocks where their file system does not answer.
    pub(crate) fn of(settings: &Tls) -> Self {
        let Tls { cert, key, client_ca, client_crl, .. } = settings;
        let files = cert.iter().chain(key).chain(client_ca).chain(client_crl);
        Self(files.map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}
