//! TLS: the certificate, and who may come. What it does on a connection is in `shard/tls/`.
//!
//! | file | holds |
//! |---|---|
//! | `material.rs` | certificates, keys and authorities as they were read, also as bytes between processes |
//! | `certificate.rs` | one certificate chain with its key |
//! | `builder.rs` | TLS of a server that a program builds |
//! | `source.rs` | what a running server has, and changes of it |
//! | `stamp.rs` | whether files have changed |
//! | `server.rs` | what handshakes are made with, from material and rules |
//! | `by_name.rs` | the certificate for the name that a client asks for |
//! | `clients.rs`, `patterns.rs` | which clients may come |
//! | `identity.rs` | what is known of a client and its connection |
//! | `failure.rs` | what went wrong, in words |

mod builder;
mod by_name;
mod certificate;
mod clients;
pub(crate) mod failure;
mod identity;
mod material;
mod patterns;
mod server;
mod source;
mod stamp;

pub use self::{
    builder::Tls,
    identity::{Identity, TlsInfo},
    material::Material,
    source::TlsChange,
};
pub(crate) use self::{
    by_name::take_asked, server::TlsServer, source::TlsSource, stamp::FileStamps,
};
