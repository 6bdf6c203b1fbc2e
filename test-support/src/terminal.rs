use std::{fs, process::Command};

use crate::{TempFile, command::binary, require, wait_until};

/// A command in a real terminal, of tmux, on a server of its own; ended when dropped.
#[derive(Debug)]
pub struct Terminal {
    socket: TempFile,
}

impl Terminal {
    /// Runs `towline` with these arguments in a terminal of this size; `None`, with the reason, without tmux.
    /// The terminal stays after the command's end, with its exit code as `[exit CODE]`.
    #[track_caller]
    pub fn towline(columns: u32, rows: u32, arguments: &[&str]) -> Option<Self> {
        let quoted = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
        let binary = binary();
        let words = [binary.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        let words: Vec<_> = words.map(quoted).collect();
        let shell = format!("{}; echo \"[exit $?]\"; sleep 600", words.join(" "));
        let terminal = Self { socket: TempFile::absent() };
        let size = [columns.to_string(), rows.to_string()];
        let started = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            "sh",
            "-c",
            &shell,
        ]);
        require("tmux", started)?;
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("tmux");
        // Not the terminal that the test was started in.
        command.env_remove("TMUX").arg("-S").arg(self.socket.path()).args(arguments);
        let output = command.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What the terminal shows.
    #[track_caller]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).unwrap()
    }

    /// The process of the command.
    #[track_caller]
    pub fn process(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]).unwrap();
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits until the terminal shows `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        wait_until(format!("{text:?} on the terminal"), || self.screen().contains(text));
    }

    /// Types keys, as tmux names them: `y`, `Enter`, `Down`, `C-c`.
    #[track_caller]
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat()).unwrap();
    }

    /// Changes the size.
    #[track_caller]
    pub fn resize(&self, columns: u32, rows: u32) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only the server of this socket.
        let _ = self.tmux(&["kill-server"]);
    }
}
