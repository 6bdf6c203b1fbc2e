//! The built-in values: safe on a public port, and right for most hosts without a configuration file.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use crate::{
    edge::{ClientAuth, ProxyMode, ProxyProtocol, Tls, TlsVersion},
    listener::Listen,
    settings::{
        Admission, ConnectionLog, Digest, Flush, FlushPolicy, Framing, Heartbeat, Limits, Log,
        LogFormat, LogLevel, Overload, Processes, Push, ReceiveBuffer, ServerSettings,
        SocketOptions, Timeouts, Workload, WorkloadKind,
    },
};

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 9000))).into()],
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            threads: None,
            processes: Processes::Exactly(NonZeroU32::MIN),
            backlog: 65_535,
            ready_when_full: true,
        }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self { kind: WorkloadKind::Echo, digest: Digest::Reply, framing: Framing::Batch }
    }
}

impl Default for Flush {
    fn default() -> Self {
        Self { policy: FlushPolicy::Auto }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: None,
            connections_per_ip: None,
            accept_rate: None,
            accept_rate_per_ip: None,
            lines_per_ip: None,
            bytes_per_ip: None,
            allow: None,
            deny: None,
            admission: Admission::Wait,
            line_bytes: 64 * 1024,
            concurrency: const { NonZeroU32::new(4096).expect("not zero") },
            overload: Overload::Wait,
            output_bytes: 256 * 1024,
            buffer_bytes: None,
        }
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            connection_bytes: 1024 * 1024,
            shard_bytes: 16 * 1024 * 1024,
            at_once: const { NonZeroU32::new(32).expect("not zero") },
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Some(Duration::from_secs(5)),
            idle: None,
            line: Some(Duration::from_secs(30)),
            write: Some(Duration::from_secs(10)),
            handshake: Duration::from_secs(10),
            age: None,
            drain: Duration::from_secs(30),
            drain_delay: None,
            drain_spread: None,
            linger: Duration::from_secs(2),
            half_close: Some(Duration::from_millis(500)),
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::every(Duration::from_secs(30))
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: Some(Duration::from_secs(60)),
            user_timeout: Some(Duration::from_secs(30)),
            notsent_lowat: Some(16 * 1024),
            receive_buffer: ReceiveBuffer::Auto,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: Vec::new(),
            key: Vec::new(),
            min_version: TlsVersion::V12,
            client_ca: None,
            client_crl: None,
            client_auth: ClientAuth::Required,
            client_allow: Vec::new(),
        }
    }
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self { mode: ProxyMode::Off, trusted: None, deadline: Duration::from_secs(3) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Text,
            connections: ConnectionLog::Abnormal,
        }
    }
}
