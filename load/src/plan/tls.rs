//! How connections speak TLS.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// TLS of every connection of a run. Start from [`TlsPlan::new`] and set the fields that differ.
///
/// ```
/// use towline_load::{Plan, TargetAddr, TlsPlan, TlsTrust};
///
/// let mut plan = Plan::new(TargetAddr::resolve("127.0.0.1:9443")?);
/// plan.tls = Some(TlsPlan::new(TlsTrust::Anything));
/// plan.check()?;
/// # Ok::<(), towline_load::LoadError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Which servers are trusted.
    pub trust: TlsTrust,
    /// The client certificate that is shown if the server asks for one. Default: none.
    pub client: Option<TlsClientFiles>,
    /// The name that is asked for (SNI) and that the certificate must have. Default: `None`, the host of
    /// the target.
    pub name: Option<String>,
    /// Whether sessions are resumed with tickets of earlier connections. Default: no, every handshake is
    /// a full one.
    pub resume: bool,
    /// The lowest version offered. Default: 1.2.
    pub min_version: TlsVersion,
    /// The highest version offered. Default: 1.3.
    pub max_version: TlsVersion,
}

/// Which servers are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsTrust {
    /// Those whose certificate one of the authorities in this PEM file signed.
    Authorities(PathBuf),
    /// Any: the certificate is not verified.
    Anything,
}

/// PEM files of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsClientFiles {
    /// The certificate, and behind it its issuers.
    pub cert: PathBuf,
    /// Its private key, without a passphrase.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

impl TlsVersion {
    /// Parses `1.2` or `1.3`.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        match text {
            "1.2" => Ok(Self::V12),
            "1.3" => Ok(Self::V13),
            _ => Err(LoadError::usage(format!(
                "`{text}` is no version of TLS that is known: expected 1.2 or 1.3"
            ))),
        }
    }

    /// The version as flags spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }
}

impl TlsPlan {
    /// A plan with the default of every field.
    pub fn new(trust: TlsTrust) -> Self {
        Self {
            trust,
            client: None,
            name: None,
            resume: false,
            min_version: TlsVersion::V12,
            max_version: TlsVersion::V13,
        }
    }
}
