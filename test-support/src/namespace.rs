use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{ChildStderr, Command, Stdio},
    thread,
};

use rustix::{
    process::Pid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{Client, Metrics, Run, ServerProcess, require, require::succeeds};

/// A command that runs the program named by its further arguments in a network namespace of its own,
/// once the shell commands `prepare` have succeeded inside; `None` where they do not.
#[track_caller]
pub fn network_namespace(prepare: &str) -> Option<Command> {
    let script = format!("ip link set lo up; {prepare}; exec \"$0\" \"$@\"");
    let entered = || {
        // The shell ends at the first command that fails, which it does not within an and-list.
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-ec", &script]);
        command
    };
    let needed = format!("a network namespace in which `{prepare}` succeeds");
    require(&needed, succeeds(entered().arg("true")))?;
    Some(entered())
}

/// A server in a network namespace, whose loopback device can lose segments.
#[derive(Debug)]
pub struct Namespace {
    server: ServerProcess,
}

impl Namespace {
    /// Starts it after the shell commands `prepare`; `None` where that is not possible.
    #[track_caller]
    pub fn start(prepare: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Option<Self> {
        let mut command = network_namespace(&format!("nft list ruleset; {prepare}"))?;
        command.envs(environment.iter().copied());
        Some(Self { server: ServerProcess::start_by(&mut command, arguments) })
    }

    /// Waits for the server's end, as [`ServerProcess::end`] does.
    #[track_caller]
    pub fn end(self) -> Run {
        self.server.end()
    }

    /// The server's standard error, as [`ServerProcess::log`] gives it.
    pub fn log(&mut self) -> ChildStderr {
        self.server.log()
    }

    /// Calls `inside` on a thread in the namespace.
    #[track_caller]
    pub fn enter<T: Send>(&self, inside: impl FnOnce(&ServerProcess) -> T + Send) -> T {
        let id = Pid::from_child(self.server.process()).as_raw_pid();
        let network = File::open(format!("/proc/{id}/ns/net")).unwrap();
        thread::scope(|scope| {
            let entered = scope.spawn(move || {
                let network = network.as_fd();
                move_into_link_name_space(network, Some(LinkNameSpaceType::Network)).unwrap();
                inside(&self.server)
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A new client in the namespace.
    pub fn connect(&self) -> Client {
        self.enter(ServerProcess::connect)
    }

    /// A scrape in the namespace.
    pub fn metrics(&self) -> Metrics {
        self.enter(ServerProcess::metrics)
    }

    /// Runs shell commands in the namespace.
    #[track_caller]
    pub fn run(&self, words: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-ec", words]).stdin(Stdio::null());
        let run = self.enter(move |_| Run::of(&mut shell));
        assert_eq!(run.code, 0, "{words}: {run:?}");
    }

    /// Applies an nftables statement to all segments to and from the port for lines, such as `drop` or
    /// `numgen random mod 100 < 5 drop`.
    #[track_caller]
    pub fn segments(&self, statement: &str) {
        let port = self.server.lines().port();
        self.run(&format!(
            "nft add table ip faults; \
             nft add chain ip faults in '{{ type filter hook input priority 0; }}'; \
             nft add rule ip faults in 'tcp dport {port} {statement}'; \
             nft add rule ip faults in 'tcp sport {port} {statement}'"
        ));
    }

    /// Applies an nftables statement to the segments from the port for lines alone.
    #[track_caller]
    pub fn replies(&self, statement: &str) {
        let port = self.server.lines().port();
        self.run(&format!(
            "nft add table ip faults; \
             nft add chain ip faults in '{{ type filter hook input priority 0; }}'; \
             nft add rule ip faults in 'tcp sport {port} {statement}'"
        ));
    }

    /// Removes what [`segments`](Self::segments) or [`replies`](Self::replies) added.
    #[track_caller]
    pub fn segments_pass(&self) {
        self.run("nft delete table ip faults");
    }
}
