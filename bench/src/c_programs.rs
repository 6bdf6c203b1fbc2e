//! The C programs: the load generator and the reference servers on epoll, compiled at run time.

use std::{fs, path::PathBuf, process::Command};

use crate::Error;

const SOURCES: [(&str, &str); 5] = [
    ("common.h", include_str!("../peers/common.h")),
    ("hist.h", include_str!("../peers/hist.h")),
    ("gen.c", include_str!("../peers/gen.c")),
    ("echo.c", include_str!("../peers/echo.c")),
    ("fanout.c", include_str!("../peers/fanout.c")),
];

/// A directory with the compiled programs, removed when this is dropped. Their sources are part of this
/// binary, so it runs from anywhere.
#[derive(Debug)]
pub(crate) struct CPrograms {
    dir: PathBuf,
}

impl CPrograms {
    /// Compiles the generator and the reference servers.
    ///
    /// # Errors
    /// When there is no C compiler (`cc`), or it fails: nothing can be measured without the generator.
    pub(crate) fn compile_all() -> Result<Self, Error> {
        let dir = std::env::temp_dir().join(format!("towline-bench-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let programs = Self { dir };
        for (name, text) in SOURCES {
            fs::write(programs.dir.join(name), text)?;
        }
        programs.compile("gen.c", "gen", &[])?;
        programs.compile("fanout.c", "c-fanout", &[])?;
        programs.compile("echo.c", "c-raw", &[])?;
        programs.compile("echo.c", "c-lines", &["-DLINES"])?;
        programs.compile("echo.c", "c-limited", &["-DLINES", "-DLINE_MAX=65536"])?;
        Ok(programs)
    }

    /// The path of a program, or of another file in the directory.
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

impl Drop for CPrograms {
    fn drop(&mut self) {
        // A directory left in the temporary directory does no harm.
        drop(fs::remove_dir_all(&self.dir));
    }
}
