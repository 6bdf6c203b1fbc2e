//! Settings of what comes before the first line: TLS, and PROXY headers.

use std::{path::PathBuf, time::Duration};

use crate::{network_list::NetworkList, words::words};

/// `tls.*`; `None` and an empty list are `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// `tls.cert`: PEM files, each with a certificate chain. Default: none, which is no TLS.
    pub cert: Vec<PathBuf>,
    /// `tls.key`: PEM files with the private keys, in the order of the certificates. Default: none.
    pub key: Vec<PathBuf>,
    /// `tls.min_version`. Default: 1.2.
    pub min_version: TlsVersion,
    /// `tls.client_ca`: PEM file with the authorities that sign client certificates. Default: `None`.
    pub client_ca: Option<PathBuf>,
    /// `tls.client_crl`: PEM file with their lists of revoked certificates. Default: `None`.
    pub client_crl: Option<PathBuf>,
    /// `tls.client_auth`. Default: `required`.
    pub client_auth: ClientAuth,
    /// `tls.client_allow`: patterns of the names of clients that may come. Default: none, which allows all.
    pub client_allow: Vec<String>,
}

words! {
    /// A version of TLS.
    TlsVersion {
        /// TLS 1.2.
        V12 = "1.2",
        /// TLS 1.3.
        V13 = "1.3",
    }
}

words! {
    /// Whether clients need a certificate, where `tls.client_ca` is set.
    ClientAuth {
        /// One without is refused.
        Required = "required",
        /// One without is served, without an identity; a certificate that is sent must be valid.
        Optional = "optional",
    }
}

/// `proxy_protocol.*`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// `proxy_protocol.mode`: that of listeners that do not say their own. Default: `off`.
    pub mode: ProxyMode,
    /// `proxy_protocol.trusted`: networks of the senders that are believed; `None` is `off`, all. Default: `None`.
    pub trusted: Option<NetworkList>,
    /// `proxy_protocol.deadline`: time from the accept to the end of the header. Default: 3 s.
    pub deadline: Duration,
}

words! {
    /// Whether connections begin with a PROXY protocol header.
    ProxyMode {
        /// They do not. A header that arrives nevertheless is taken as lines.
        Off = "off",
        /// They do. A connection without one is closed.
        Require = "require",
        /// Those of trusted senders may. Others are closed if they do.
        Optional = "optional",
    }
}
