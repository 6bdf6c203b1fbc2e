//! One certificate chain with its key.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{PemObject as _, SectionKind},
    },
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::material::Pem;
use crate::RunError;

/// A certificate that clients can be shown, and what it says.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: CertifiedKey,
    /// Lower-case DNS names; `*.` stands for one label.
    pub(super) names: Vec<String>,
    /// The end of its validity, in seconds since 1970.
    pub(super) not_after: i64,
}

impl Certificate {
    /// Checks that the chain can be shown with this key: in its order, valid now, and of one key pair.
    pub(super) fn load(
        (chain, key): &(Pem, Pem),
        provider: &CryptoProvider,
    ) -> Result<Self, RunError> {
        let chain_der = certificates("tls.cert", chain)?;
        let wrong = |what: &str| RunError::usage(format!("tls.cert = \"{}\" {what}", chain.name));
        let parsed = chain_der
            .iter()
            .map(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(&format!("has a certificate that cannot be parsed: {error}")))?;
        for pair in parsed.windows(2) {
            if pair[0].issuer() != pair[1].subject() {
                return Err(wrong(&format!(
                    "is in the wrong order: expected the server's certificate first and behind each its \
                     issuer, and \"{}\" is behind a certificate that \"{}\" issued",
                    pair[1].subject(),
                    pair[0].issuer()
                )));
            }
        }
        let leaf = &parsed[0];
        let (from, until) = (leaf.validity().not_before, leaf.validity().not_after);
        let now = seconds_since_1970();
        if until.timestamp() <= now {
            return Err(wrong(&format!("has expired at {until}: expected a valid certificate")));
        }
        if from.timestamp() > now {
            return Err(wrong(&format!(
                "is not valid before {from}: expected a valid certificate"
            )));
        }
        let names = dns_names(leaf).map(str::to_ascii_lowercase).collect();
        let not_after = until.timestamp();
        let signing =
            provider.key_provider.load_private_key(private_key(key)?).map_err(|error| {
                RunError::usage(format!("tls.key = \"{}\" cannot be used: {error}", key.name))
            })?;
        let certified = CertifiedKey::new(chain_der, signing);
        if certified.keys_match().is_err() {
            return Err(RunError::usage(format!(
                "tls.key = \"{}\" is not the key of tls.cert = \"{}\": expected the private key of its first \
                 certificate",
                key.name, chain.name
            )));
        }
        Ok(Self { key: certified, names, not_after })
    }
}

/// Seconds since 1970.
pub(super) fn seconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().cast_signed()
}

/// The DNS names of a certificate.
pub(super) fn dns_names<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    alternative_names(certificate).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    })
}

/// The subject alternative names of a certificate.
pub(super) fn alternative_names<'a, 'b>(
    certificate: &'a X509Certificate<'b>,
) -> impl Iterator<Item = &'a GeneralName<'b>> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.map(|names| names.value.general_names.iter()).into_iter().flatten()
}

/// All certificates of a file, at least one.
pub(super) fn certificates(key: &str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, RunError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
    match read {
        Ok(read) if read.is_empty() => Err(RunError::usage(format!(
            "{key} = \"{}\" has no certificate: expected PEM, with -----BEGIN CERTIFICATE-----",
            pem.name
        ))),
        Ok(read) => Ok(read),
        Err(error) => {
            Err(RunError::usage(format!("{key} = \"{}\" is no valid PEM: {error}", pem.name)))
        }
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, RunError> {
    let wrong = |what: &str| RunError::usage(format!("tls.key = \"{}\" {what}", pem.name));
    let text = String::from_utf8_lossy(&pem.bytes);
    if text.contains("ENCRYPTED") {
        return Err(wrong("is encrypted: expected a private key without a passphrase"));
    }
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem.bytes);
    let has_section = sections.any(|section| section.is_ok());
    PrivateKeyDer::from_pem_slice(&pem.bytes).map_err(|error| {
        if has_section {
            wrong("has no private key: expected PEM, with -----BEGIN PRIVATE KEY-----")
        } else {
            wrong(&format!("is no private key in PEM: {error}"))
        }
    })
}
