//! TLS of the connections of a run: its configuration, prepared once, and what is counted.

mod failure;
mod tickets;
mod totals;
mod trust;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

pub(crate) use self::failure::describe;
use self::tickets::Tickets;
pub(crate) use self::totals::TlsTotals;
use crate::error::LoadError;
use crate::plan::{Plan, TargetAddr, TlsClientFiles, TlsPlan, TlsVersion};

/// What all connections of a process share.
#[derive(Debug)]
pub(crate) struct TlsJob {
    pub(crate) config: Arc<ClientConfig>,
    /// The name to ask each target for, in the order of the plan's targets.
    names: Vec<ServerName<'static>>,
}

impl TlsJob {
    /// Prepares the TLS of a plan; `None` if it has none. Reads the files that the plan names.
    pub(crate) fn new(plan: &Plan) -> Result<Option<Self>, LoadError> {
        let Some(tls) = &plan.tls else { return Ok(None) };
        let names = plan.targets.iter().map(|target| server_name(tls, target));
        Ok(Some(Self { config: Arc::new(config(tls)?), names: names.collect::<Result<_, _>>()? }))
    }

    /// The name that connection `id` asks for.
    pub(crate) fn name(&self, id: u32) -> ServerName<'static> {
        self.names[id as usize % self.names.len()].clone()
    }
}

fn config(tls: &TlsPlan) -> Result<ClientConfig, LoadError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls)?)
        .map_err(|e| LoadError::failed(format!("TLS cannot be set up: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(trust::verifier(&tls.trust, &provider)?);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let (chain, key) = client_pair(files, &provider)?;
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                LoadError::usage(format!(
                    "the key {} does not fit the certificate {}: {e}",
                    files.key.display(),
                    files.cert.display()
                ))
            })?
        }
    };
    config.resumption = if tls.resume {
        Resumption::store(Arc::new(Tickets::default()))
    } else {
        Resumption::disabled()
    };
    Ok(config)
}

fn versions(tls: &TlsPlan) -> Result<Vec<&'static SupportedProtocolVersion>, LoadError> {
    let (min, max) = (tls.min_version, tls.max_version);
    if min > max {
        return Err(LoadError::usage(format!(
            "TLS from version {} to {} is none: expected a highest version that is not below the lowest",
            min.name(),
            max.name()
        )));
    }
    let known = [(TlsVersion::V13, &TLS13), (TlsVersion::V12, &TLS12)];
    Ok(known.into_iter().filter(|(v, _)| (min..=max).contains(v)).map(|(_, v)| v).collect())
}

/// The name that connections to a target ask for.
fn server_name(tls: &TlsPlan, target: &TargetAddr) -> Result<ServerName<'static>, LoadError> {
    if let Some(name) = &tls.name {
        return ServerName::try_from(name.clone()).map_err(|_invalid| {
            LoadError::usage(format!(
                "`{name}` is not a name for TLS: expected a DNS name such as lines.example, or an IP address"
            ))
        });
    }
    match target {
        TargetAddr::Tcp { name, address } => {
            let host = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok(ServerName::try_from(host.to_owned())
                .unwrap_or_else(|_invalid| ServerName::IpAddress(address.ip().into())))
        }
        TargetAddr::Unix(path) => Err(LoadError::usage(format!(
            "unix:{} has no name that TLS could verify: expected --tls-name",
            path.display()
        ))),
    }
}

fn client_pair(
    files: &TlsClientFiles,
    provider: &CryptoProvider,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), LoadError> {
    let chain = certificates(&files.cert, "the client certificate")?;
    let pem = read(&files.key, "the key of the client certificate")?;
    let wrong = |why: String| {
        LoadError::usage(format!(
            "{} has no private key that can be used: expected one in PEM, without a passphrase ({why})",
            files.key.display()
        ))
    };
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| wrong(e.to_string()))?;
    provider.key_provider.load_private_key(key.clone_key()).map_err(|e| wrong(e.to_string()))?;
    Ok((chain, key))
}

/// The certificates of a PEM file: at least one.
fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let pem = read(path, what)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let wrong = |why: &str| {
        LoadError::usage(format!(
            "{} {why}: expected {what} in PEM, which begins with -----BEGIN CERTIFICATE-----",
            path.display()
        ))
    };
    let found = found.map_err(|e| wrong(&format!("is not PEM ({e})")))?;
    if found.is_empty() { Err(wrong("has no certificate")) } else { Ok(found) }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|e| {
        LoadError::usage(format!("{} cannot be read: {e}: expected {what} in PEM", path.display()))
    })
}
