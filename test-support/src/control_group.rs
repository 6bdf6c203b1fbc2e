use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use crate::{ServerProcess, command::binary, require};

/// A control group, removed when dropped.
#[derive(Debug)]
pub struct ControlGroup {
    directory: PathBuf,
    first_version: bool,
}

impl ControlGroup {
    /// A group with a file of each version of control groups that limits it, such as
    /// `["memory.limit_in_bytes", "memory.max"]`; `None` where that is not permitted.
    #[track_caller]
    pub fn with_limit(files: [&str; 2], limit: impl Display) -> Option<Self> {
        require(&format!("a control group with {}", files[1]), Self::make(files, limit))
    }

    fn make(files: [&str; 2], limit: impl Display) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("towline-test-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        let mounted = Path::new("/sys/fs/cgroup");
        let controller = files[1].split('.').next().unwrap();
        let first_version = mounted.join(controller).join("cgroup.procs").exists();
        let directory = mounted.join(if first_version { controller } else { "" }).join(name);
        fs::create_dir(&directory)?;
        let group = Self { directory, first_version };
        group.limit(files, limit)?;
        Ok(group)
    }

    /// Whether the host has the first version of control groups.
    pub const fn is_first_version(&self) -> bool {
        self.first_version
    }

    fn file(&self, files: [&str; 2]) -> PathBuf {
        self.directory.join(files[usize::from(!self.first_version)])
    }

    /// Sets a limit.
    ///
    /// # Errors
    ///
    /// If there is no such file, or the kernel refuses the limit.
    pub fn limit(&self, files: [&str; 2], limit: impl Display) -> io::Result<()> {
        fs::write(self.file(files), limit.to_string())
    }

    /// The content of a file that is named so in each version.
    pub fn read(&self, files: [&str; 2]) -> String {
        fs::read_to_string(self.file(files)).unwrap()
    }

    /// Starts a server in the group.
    #[track_caller]
    pub fn start(&self, arguments: &[&str]) -> ServerProcess {
        ServerProcess::start_by(&mut self.enter(), arguments)
    }

    /// The command `towline` in the group, without arguments.
    pub fn command(&self) -> Command {
        let mut command = self.enter();
        command.arg(binary());
        command
    }

    /// A command that runs the program named by its further arguments in the group.
    fn enter(&self) -> Command {
        let enter =
            format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", self.directory.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &enter]);
        shell
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel may still count processes that have been waited for.
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
