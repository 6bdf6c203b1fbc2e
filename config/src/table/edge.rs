//! The keys of TLS, of PROXY headers and of the log: `tls`, `proxy_protocol`, `log`.

use super::{TIME, key, off};
use crate::{
    edge::{ClientAuth, ProxyMode, TlsVersion},
    grammar::{Names, Networks, Path, Paths, Words},
    key::{Field, Key},
    settings::{ConnectionLog, LogFormat, LogLevel, Settings},
};

pub(super) static KEYS: &[Key] = &[
    key!(
        tls.cert,
        Paths,
        "PEM files with a certificate chain each. With it, lines are served over TLS, except by listeners \
         with the option `tls=off`. The files are read again on SIGHUP and when they change. Of several \
         certificates a client is shown the one for the name that it asks for; one that sends no name the \
         first.",
    )
    .flag("--tls-cert")
    .list(),
    key!(
        tls.key,
        Paths,
        "PEM files with the private keys of the certificates, in the same order.",
    )
    .flag("--tls-key")
    .list()
    .secret(),
    key!(
        tls.min_version,
        Words(TlsVersion::WORDS),
        "Oldest version of TLS that is spoken.",
    )
    .flag("--tls-min-version")
    .live(),
    key!(
        tls.client_ca,
        off(Path),
        "PEM file with the authorities that sign client certificates. With it, clients need one.",
    )
    .flag("--tls-client-ca"),
    key!(
        tls.client_crl,
        off(Path),
        "PEM file with lists of revoked client certificates, of the authorities in `tls.client_ca`.",
    )
    .flag("--tls-client-crl"),
    key!(
        tls.client_auth,
        Words(ClientAuth::WORDS),
        "Whether a client without a certificate is refused, where `tls.client_ca` is set.",
    )
    .flag("--tls-client-auth")
    .live(),
    key!(
        tls.client_allow,
        Names,
        "Names of the clients that may come, of those that `tls.client_ca` vouches for: DNS names and URIs \
         of the certificate, or its common name. `*` stands for any number of characters.",
    )
    .flag("--tls-client-allow")
    .list()
    .live(),
    key!(
        proxy_protocol.mode,
        Words(ProxyMode::WORDS),
        "Whether connections begin with a PROXY protocol header, version 1 or 2, in which a load \
         balancer passes on the client's address: `require` closes connections without one, \
         `optional` takes those of `proxy_protocol.trusted` with or without one. A listener may have \
         a mode of its own.",
    )
    .flag("--proxy-protocol"),
    key!(
        proxy_protocol.trusted,
        off(Networks),
        "Networks of the load balancers whose headers are believed, written as `limits.allow`. A \
         connection from elsewhere is closed if it has a header, or if one is required. Without them \
         every sender is believed, so keep such a listener on a network of your own.",
    )
    .flag("--proxy-trusted")
    .list()
    .live(),
    key!(
        proxy_protocol.deadline,
        TIME,
        "Maximum time from the accept to the end of the PROXY header.",
    )
    .live(),
    key!(log.level, Words(LogLevel::WORDS), "Least severe level that is logged.",)
        .flag("--log-level")
        .live(),
    key!(
        log.format,
        Words(LogFormat::WORDS),
        "Format of the log: `text` for people, `json` with one object per line for machines.",
    )
    .flag("--log-format"),
    key!(
        log.connections,
        Words(ConnectionLog::WORDS),
        "Which connections get a record in the log when they end, with their id, peer, reason, age, \
         lines, bytes and waits: `abnormal` those that end in disorder, such as a peer that stopped \
         reading or a service that failed, at most 100 per second and process; `all` also the \
         others, at most 1,000; `off` none. What is left out is counted in the log.",
    )
    .flag("--log-connections")
    .live(),
];
