use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A file with a name of its own in the host's temporary directory, removed when dropped.
#[derive(Debug)]
pub struct TempFile(PathBuf);

impl TempFile {
    /// A file with this content.
    pub fn new(content: impl AsRef<[u8]>) -> Self {
        let file = Self::absent();
        file.write(content);
        file
    }

    /// A name for a file, socket or pipe that the test makes.
    pub fn absent() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("towline-test-{}-{}.toml", process::id(), COUNT.fetch_add(1, Relaxed));
        Self(env::temp_dir().join(name))
    }

    /// Replaces the content.
    pub fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(&self.0, content).unwrap();
    }

    /// Removes the file before the end of the test.
    pub fn remove(&self) {
        fs::remove_file(&self.0).unwrap();
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where it is, as a command line takes it.
    pub fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
