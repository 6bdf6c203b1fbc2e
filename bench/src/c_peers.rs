//! Compiles the C peers into a directory of this run, which goes when the run ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

const SOURCES: [(&str, &str); 4] = [
    ("common.h", include_str!("../peers/common.h")),
    ("hist.h", include_str!("../peers/hist.h")),
    ("gen.c", include_str!("../peers/gen.c")),
    ("echo.c", include_str!("../peers/echo.c")),
];

/// Where the compiled peers are. The sources travel inside this binary, so it runs from anywhere.
#[derive(Debug)]
pub(crate) struct Workshop {
    dir: PathBuf,
}

impl Workshop {
    /// Compiles generator and peers.
    ///
    /// # Errors
    /// When there is no C compiler: nothing can be measured without the generator.
    pub(crate) fn open() -> Result<Self, Error> {
        let dir = std::env::temp_dir().join(format!("towline-bench-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let shop = Self { dir };
        for (name, text) in SOURCES {
            fs::write(shop.dir.join(name), text)?;
        }
        shop.compile("gen.c", "gen", &[])?;
        shop.compile("echo.c", "c-raw", &[])?;
        shop.compile("echo.c", "c-lines", &["-DLINES"])?;
        shop.compile("echo.c", "c-limited", &["-DLINES", "-DLINE_MAX=65536"])?;
        Ok(shop)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn compile(&self, source: &str, output: &str, flags: &[&str]) -> Result<(), Error> {
        let done = Command::new("cc")
            .arg("-O2")
            .args(flags)
            .arg("-o")
            .arg(self.dir.join(output))
            .arg(self.dir.join(source))
            .output()
            .map_err(|error| format!("no C compiler to build the load generator (cc): {error}"))?;
        if done.status.success() {
            return Ok(());
        }
        Err(format!("cc {source}: {}", String::from_utf8_lossy(&done.stderr)).into())
    }
}

impl AsRef<Path> for Workshop {
    fn as_ref(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // A left-over directory in the temporary place harms nobody.
        drop(fs::remove_dir_all(&self.dir));
    }
}
