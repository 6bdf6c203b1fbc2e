//! Listening sockets: their addresses, and what each has of its own.

use crate::edge::ProxyMode;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
};

/// An address to listen on. `Display` is the text that `server.listen` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listen {
    /// `IP:PORT`; port 0 takes any free one.
    Tcp(SocketAddr),
    /// `unix:/path`
    Unix(PathBuf),
}

impl Listen {
    /// Whether both cannot be listened on together: the same path, or the same port of the same address or of all
    /// addresses of that family.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => one == other,
            (Self::Tcp(one), Self::Tcp(other)) => {
                let all = |ip: IpAddr| ip.is_unspecified();
                one.port() == other.port()
                    && one.port() != 0
                    && one.is_ipv4() == other.is_ipv4()
                    && (one.ip() == other.ip() || all(one.ip()) || all(other.ip()))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One entry of `server.listen`: an address, and the options of that listener.
///
/// ```
/// use towline_config::{Listen, Settings};
///
/// let mut settings = Settings::default();
/// settings.server.listen = vec![Listen::Unix("/run/lines.sock".into()).into()];
/// settings.server.listen[0].mode = Some(0o660);
/// # assert_eq!(settings.server.listen[0].to_string(), "unix:/run/lines.sock,mode=660");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: Listen,
    /// `name`: how metrics and the log call it, and which socket of a service manager it is. Default: its address.
    pub name: Option<String>,
    /// `proxy_protocol`: whether its connections begin with a PROXY header. Default: `proxy_protocol.mode`.
    pub proxy_protocol: Option<ProxyMode>,
    /// `connections`: maximum open connections that came by it; further ones are rejected. Default: `None`, only
    /// `limits.connections` holds.
    pub connections: Option<NonZeroU32>,
    /// `mode`: permissions of a UNIX socket. Default: what the umask leaves.
    pub mode: Option<u32>,
    /// `owner`: user that owns a UNIX socket, by name or number. Default: the user of the server.
    pub owner: Option<String>,
    /// `tls`: whether its connections speak TLS. Default: whether `tls.cert` is set.
    pub tls: Option<bool>,
    /// `group`: group of a UNIX socket, by name or number. Default: the group of the server.
    pub group: Option<String>,
}

impl ListenerSettings {
    /// The name of the listener, or else its address.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }

    /// The options that are set, as the texts that `server.listen` takes.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        let Self { address: _, name, proxy_protocol, connections, tls, mode, owner, group } = self;
        let word = |on: bool| if on { "on" } else { "off" };
        let options = [
            ("name", name.clone()),
            ("proxy_protocol", proxy_protocol.map(|mode| mode.to_string())),
            ("connections", connections.map(|connections| connections.to_string())),
            ("tls", tls.map(|tls| word(tls).to_owned())),
            ("mode", mode.map(|mode| format!("{mode:o}"))),
            ("owner", owner.clone()),
            ("group", group.clone()),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl From<Listen> for ListenerSettings {
    /// Without options.
    fn from(address: Listen) -> Self {
        Self {
            address,
            name: None,
            proxy_protocol: None,
            connections: None,
            tls: None,
            mode: None,
            owner: None,
            group: None,
        }
    }
}

impl fmt::Display for ListenerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        self.options().iter().try_for_each(|(name, value)| write!(f, ",{name}={value}"))
    }
}
