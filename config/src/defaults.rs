//! The built-in values: safe on a public port, and right for most hosts without a configuration file.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use crate::settings::{
    Admission, Digest, Flush, FlushPolicy, Framing, Heartbeat, Limits, Listen, Log, LogFormat,
    LogLevel, Overload, Processes, ProxyMode, ProxyProtocol, Server, Settings, Socket, Timeouts,
    Tls, Workload, WorkloadKind,
};

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: Server {
                listen: Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 9000))),
                admin: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
                threads: None,
                processes: Processes::Exactly(NonZeroU32::MIN),
                backlog: 65_535,
            },
            workload: Workload {
                kind: WorkloadKind::Echo,
                digest: Digest::Reply,
                framing: Framing::Batch,
            },
            flush: Flush { policy: FlushPolicy::Auto },
            limits: Limits {
                connections: None,
                connections_per_ip: None,
                accept_rate: None,
                admission: Admission::Wait,
                line_bytes: 64 * 1024,
                concurrency: const { NonZeroU32::new(4096).expect("not zero") },
                overload: Overload::Wait,
                output_bytes: 256 * 1024,
                buffer_bytes: None,
            },
            timeouts: Timeouts {
                request: Some(Duration::from_secs(5)),
                idle: None,
                line: Some(Duration::from_secs(30)),
                write: Some(Duration::from_secs(10)),
                drain: Duration::from_secs(30),
                drain_delay: None,
                drain_spread: None,
                linger: Duration::from_secs(2),
            },
            heartbeat: Heartbeat::every(Duration::from_secs(30)),
            socket: Socket {
                nodelay: true,
                keepalive: Some(Duration::from_secs(60)),
                user_timeout: Some(Duration::from_secs(30)),
                notsent_lowat: Some(16 * 1024),
                receive_buffer: Some(76 * 1024),
            },
            tls: Tls { cert: None, key: None, client_ca: None },
            proxy_protocol: ProxyProtocol { mode: ProxyMode::Off },
            log: Log { level: LogLevel::Info, format: LogFormat::Text },
        }
    }
}
