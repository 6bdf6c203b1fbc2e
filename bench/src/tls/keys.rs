//! Certificates made for a scenario: an authority, and a certificate of `localhost`.

use std::{fs, path::PathBuf, process::Command};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use crate::{Error, c_programs::CPrograms};

/// The name that the certificates are for.
pub(super) const NAME: &str = "localhost";

/// The kind of a server's key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Algorithm {
    P256,
    /// Signs some twenty times slower.
    Rsa2048,
}

/// An authority, with a certificate and its key in files.
#[derive(Debug)]
pub(crate) struct Keys {
    algorithm: Algorithm,
    authority: CertifiedIssuer<'static, KeyPair>,
    cert: PathBuf,
    key: PathBuf,
}

impl Keys {
    /// Makes an authority, and writes a certificate to the directory of `programs`.
    pub(super) fn write(programs: &CPrograms, algorithm: Algorithm) -> Result<Self, Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "towline-bench");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let (cert, key) = (programs.path("server.crt"), programs.path("server.key"));
        let keys = Self { algorithm, authority, cert, key };
        keys.replace()?;
        Ok(keys)
    }

    /// Writes another certificate and key to the same files. In between they do not match.
    pub(super) fn replace(&self) -> Result<(), Error> {
        let own = self.algorithm.generate()?;
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

impl Algorithm {
    fn generate(self) -> Result<KeyPair, Error> {
        match self {
            Self::P256 => Ok(KeyPair::generate()?),
            // ring makes no keys of RSA.
            Self::Rsa2048 => {
                let made = Command::new("openssl").args(["genrsa", "2048"]).output();
                let made =
                    made.map_err(|error| format!("openssl, which makes an RSA key: {error}"))?;
                Ok(KeyPair::from_pem(&String::from_utf8(made.stdout)?)?)
            }
        }
    }
}
