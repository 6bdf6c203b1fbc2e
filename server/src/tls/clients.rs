//! Which clients may come.

use std::{cell::RefCell, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject as _},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use towline_config::{ClientAuth, Tls};

use super::{certificate::certificates, identity::Identity, material::Material, patterns::matches};
use crate::RunError;

thread_local! {
    /// The client whose certificate was refused last on this thread.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The client that the handshake that was just polled refused.
pub(super) fn take_refused() -> Option<String> {
    REFUSED.take()
}

/// Verifies the certificates of clients: by the authorities and the lists of revoked certificates, and then by
/// `tls.client_allow`.
#[derive(Debug)]
pub(super) struct Clients {
    by_authority: Arc<dyn ClientCertVerifier>,
    /// Patterns of allowed names; none allows all.
    allow: Vec<String>,
}

impl Clients {
    /// `None` where clients need no certificate and are asked for none.
    pub(super) fn new(
        material: &Material,
        settings: &Tls,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<Self>>, RunError> {
        let Some(ca) = &material.client_ca else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        let wrong = |key: &str, name: &str, error: &dyn std::fmt::Display| {
            RunError::usage(format!("{key} = \"{name}\" cannot be used: {error}"))
        };
        for certificate in certificates("tls.client_ca", ca)? {
            roots.add(certificate).map_err(|error| wrong("tls.client_ca", &ca.name, &error))?;
        }
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if let Some(crl) = &material.client_crl {
            let lists: Result<Vec<_>, _> =
                CertificateRevocationListDer::pem_slice_iter(&crl.bytes).collect();
            let lists = lists.map_err(|error| wrong("tls.client_crl", &crl.name, &error))?;
            if lists.is_empty() {
                return Err(RunError::usage(format!(
                    "tls.client_crl = \"{}\" has no list of revoked certificates: expected PEM, with \
                     -----BEGIN X509 CRL-----",
                    crl.name
                )));
            }
            // An authority without a list revokes nothing.
            builder = builder.with_crls(lists).allow_unknown_revocation_status();
        }
        if settings.client_auth == ClientAuth::Optional {
            builder = builder.allow_unauthenticated();
        }
        let by_authority =
            builder.build().map_err(|error| wrong("tls.client_ca", &ca.name, &error))?;
        Ok(Some(Arc::new(Self { by_authority, allow: settings.client_allow.clone() })))
    }

    fn is_allowed(&self, identity: Option<&Identity>) -> bool {
        self.allow.is_empty()
            || identity.is_some_and(|identity| {
                identity.names().any(|name| self.allow.iter().any(|pattern| matches(pattern, name)))
            })
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.by_authority.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let identity = Identity::of(end_entity);
        let verified = self.by_authority.verify_client_cert(end_entity, intermediates, now);
        let verified = match verified {
            Ok(_) if !self.is_allowed(identity.as_ref()) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            verified => verified,
        };
        if verified.is_err() {
            REFUSED.set(identity.map(|identity| identity.name().to_owned()));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}
