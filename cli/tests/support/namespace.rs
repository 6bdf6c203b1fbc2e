#![allow(dead_code, reason = "each test uses a part")]

use std::{
    fs::File,
    net::TcpStream,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    thread,
};

use rustix::{
    process::Pid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::server::{Server, can};

/// A server in a network of its own, with a loopback that can be made bad.
pub(crate) struct Namespace {
    pub(crate) server: Server,
}

impl Namespace {
    /// Starts it; `None` for whoever may not, or lacks the tools, outside CI. Begins with what
    /// `prepare` does inside, a shell's words.
    pub(crate) fn start(
        prepare: &str,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Option<Self> {
        if !can("unshare --net sh -ec 'ip link; nft list ruleset; tc qdisc'") {
            return None;
        }
        let shell = format!("ip link set lo up && {{ {prepare}; }} && exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.envs(environment.iter().copied()).args(["--net", "sh", "-ec", &shell]);
        Some(Self { server: Server::start_by(&mut command, arguments) })
    }

    /// Runs `inside` on a thread in there.
    pub(crate) fn enter<T: Send>(&self, inside: impl FnOnce(&Server) -> T + Send) -> T {
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

    pub(crate) fn connect(&self) -> TcpStream {
        self.enter(Server::connect)
    }

    pub(crate) fn metric(&self, series: &str) -> f64 {
        self.enter(|server| server.metric(series))
    }

    /// Runs a shell's words in there.
    #[track_caller]
    pub(crate) fn run(&self, words: &str) {
        let words = words.to_owned();
        let ran = self
            .enter(move |_| Command::new("sh").args(["-ec", &words]).stdin(Stdio::null()).status());
        assert!(ran.unwrap().success());
    }

    /// From now on segments to and from the port of lines meet `fate`, such as `drop`, or
    /// `numgen random mod 100 < 5 drop`.
    pub(crate) fn segments(&self, fate: &str) {
        let port = self.server.lines().port();
        self.run(&format!(
            "nft add table ip faults; \
             nft add chain ip faults in '{{ type filter hook input priority 0; }}'; \
             nft add rule ip faults in 'tcp dport {port} {fate}'; \
             nft add rule ip faults in 'tcp sport {port} {fate}'"
        ));
    }

    pub(crate) fn segments_pass(&self) {
        self.run("nft delete table ip faults");
    }
}
