//! Certificates made for a run: an authority, and a P-256 certificate of `localhost`.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use crate::{Error, c_programs::CPrograms};

/// The name that the certificates are for.
pub(super) const NAME: &str = "localhost";

/// An authority, with a certificate and its key in files.
#[derive(Debug)]
pub(crate) struct Keys {
    authority: CertifiedIssuer<'static, KeyPair>,
    cert: PathBuf,
    key: PathBuf,
}

impl Keys {
    /// Makes an authority, and writes a certificate to the directory of `programs`.
    pub(super) fn write(programs: &CPrograms) -> Result<Self, Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "towline-bench");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let (cert, key) = (programs.path("server.crt"), programs.path("server.key"));
        let keys = Self { authority, cert, key };
        keys.replace()?;
        Ok(keys)
    }

    /// Writes another certificate and key to the same files. In between they do not match.
    pub(super) fn replace(&self) -> Result<(), Error> {
        let own = KeyPair::generate()?;
        let cert = CertificateParams::new([NAME.to_owned()])?.signed_by(&own, &self.authority)?;
        fs::write(&self.cert, cert.pem())?;
        fs::write(&self.key, own.serialize_pem())?;
        Ok(())
    }

    /// The flags of a server that shows the certificate.
    pub(super) fn flags(&self) -> [String; 4] {
        let [cert, key] = [&self.cert, &self.key].map(|path| path.display().to_string());
        ["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key]
    }

    /// What clients trust.
    pub(super) fn authority(&self) -> CertificateDer<'static> {
        self.authority.der().clone()
    }
}
