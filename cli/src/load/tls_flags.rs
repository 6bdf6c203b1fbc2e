//! The flags of `towline load --tls`.

use std::path::PathBuf;

use towline_load::{LoadError, TlsClientFiles, TlsPlan, TlsTrust, TlsVersion};

use super::args::on_off;

/// How connections speak TLS. Without `--tls` none of the others may be given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsFlags {
    /// Speak TLS on every connection; needs --tls-ca or --tls-insecure
    #[arg(long)]
    tls: bool,
    /// Trust servers whose certificate one of these authorities signed (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    tls_ca: Option<PathBuf>,
    /// Trust any server: its certificate is not verified
    #[arg(long)]
    tls_insecure: bool,
    /// Client certificate to show if the server asks for one, behind it its issuers (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Name to ask for (SNI), which the certificate must have [default: the host of the target]
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    /// Resume sessions with tickets of earlier connections; off makes every handshake a full one
    /// [default: off]
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    tls_resume: Option<bool>,
    /// Lowest version to offer: 1.2 or 1.3 [default: 1.2]
    #[arg(long, value_name = "VERSION", value_parser = TlsVersion::parse)]
    tls_min_version: Option<TlsVersion>,
    /// Highest version to offer: 1.2 or 1.3 [default: 1.3]
    #[arg(long, value_name = "VERSION", value_parser = TlsVersion::parse)]
    tls_max_version: Option<TlsVersion>,
}

impl TlsFlags {
    /// The plan of TLS; `None` without `--tls`.
    pub(super) fn plan(&self) -> Result<Option<TlsPlan>, LoadError> {
        if !self.tls {
            return self.check_absent().map(|()| None);
        }
        let trust = match (&self.tls_ca, self.tls_insecure) {
            (Some(path), _) => TlsTrust::Authorities(path.clone()),
            (None, true) => TlsTrust::Anything,
            (None, false) => {
                return Err(LoadError::usage(
                    "--tls does not say which servers to trust: expected --tls-ca FILE, or --tls-insecure for any",
                ));
            }
        };
        let client = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                Some(TlsClientFiles { cert: cert.clone(), key: key.clone() })
            }
            (None, None) => None,
            (Some(cert), None) => {
                return Err(LoadError::usage(format!(
                    "--tls-cert {} has no key: expected --tls-key too",
                    cert.display()
                )));
            }
            (None, Some(key)) => {
                return Err(LoadError::usage(format!(
                    "--tls-key {} has no certificate: expected --tls-cert too",
                    key.display()
                )));
            }
        };
        let all = TlsPlan::new(trust);
        Ok(Some(TlsPlan {
            client,
            name: self.tls_name.clone(),
            resume: self.tls_resume.unwrap_or(all.resume),
            min_version: self.tls_min_version.unwrap_or(all.min_version),
            max_version: self.tls_max_version.unwrap_or(all.max_version),
            ..all
        }))
    }

    /// Refuses the other flags without `--tls`.
    fn check_absent(&self) -> Result<(), LoadError> {
        let given = [
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-insecure", self.tls_insecure),
            ("--tls-cert", self.tls_cert.is_some()),
            ("--tls-key", self.tls_key.is_some()),
            ("--tls-name", self.tls_name.is_some()),
            ("--tls-resume", self.tls_resume.is_some()),
            ("--tls-min-version", self.tls_min_version.is_some()),
            ("--tls-max-version", self.tls_max_version.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => {
                Err(LoadError::usage(format!("{flag} is about TLS: expected it with --tls only")))
            }
            None => Ok(()),
        }
    }
}
