//! A load balancer of others in front of servers.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
};

use crate::TempFile;

/// A balancer, killed when dropped.
#[derive(Debug)]
pub struct Balancer {
    process: Child,
    front: SocketAddr,
    _files: Vec<TempFile>,
}

impl Balancer {
    /// Of a process that listens on `front` and needs `files` for as long as it runs.
    pub fn new(process: Child, front: SocketAddr, files: Vec<TempFile>) -> Self {
        Self { process, front, _files: files }
    }

    /// HAProxy, which passes TCP on. `send` is what it does at a server, such as `send-proxy-v2`.
    ///
    /// It takes over a listening socket as descriptor 3, on a port that the kernel chose.
    pub fn haproxy(send: &str, servers: &[SocketAddr]) -> Self {
        // The shell becomes the program, so its process id stays the same.
        const PASS: &str = "exec 3<&0 </dev/null; exec haproxy -q -f \"$0\"";
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = listener.local_addr().unwrap();
        let servers = servers.iter().enumerate();
        let servers: String =
            servers.map(|(at, server)| format!("  server s{at} {server} {send}\n")).collect();
        let configuration = TempFile::new(format!(
            "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n\
             listen lines\n  bind fd@3\n  balance roundrobin\n{servers}"
        ));
        let process = Command::new("sh")
            .args(["-c", PASS, configuration.name()])
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self::new(process, front, vec![configuration])
    }

    /// Where clients connect.
    pub fn front(&self) -> SocketAddr {
        self.front
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
