//! Certificates, keys and authorities as they were read.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use towline_config::Tls;

use crate::RunError;

/// Longest file: a list of a hundred thousand revoked certificates has 4 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Everything that TLS is made of that stands in files. Read once, so that all threads and processes use the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// Certificate chains, each with its key. At least one.
    pub pairs: Vec<(Pem, Pem)>,
    /// Authorities that sign client certificates.
    pub client_ca: Option<Pem>,
    /// Lists of revoked client certificates.
    pub client_crl: Option<Pem>,
}

/// A file in PEM, or bytes that a program gave in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Its path, or what it is, for messages.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Pem {
    /// Bytes, called `name` in messages.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than 64 MiB.
    fn read(key: &str, path: &Path) -> Result<Self, RunError> {
        let name = path.display().to_string();
        let read = || -> io::Result<(Vec<u8>, u32)> {
            let file = File::open(path)?;
            let mode = file.metadata()?.permissions().mode();
            let mut bytes = Vec::new();
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > FILE_BYTES_MAX {
                return Err(io::Error::other("it is larger than 64 MiB"));
            }
            Ok((bytes, mode))
        };
        let (bytes, mode) = read().map_err(|error| {
            RunError::usage(format!("{key} = \"{name}\" cannot be read: {error}"))
        })?;
        if key == "tls.key" && mode & 0o004 != 0 {
            tracing::warn!(
                file = name,
                "tls.key can be read by every user of this host: chmod 600 keeps it private"
            );
        }
        Ok(Self { name, bytes })
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.name).finish()
    }
}

impl Material {
    /// Reads the files that the settings name; `None` if there is no certificate.
    ///
    /// Blocks while they are read.
    ///
    /// # Errors
    /// With the setting and the file that cannot be read.
    pub fn read(settings: &Tls) -> Result<Option<Self>, RunError> {
        if settings.cert.is_empty() {
            return Ok(None);
        }
        if settings.cert.len() != settings.key.len() {
            let (certs, keys) = (settings.cert.len(), settings.key.len());
            return Err(RunError::usage(format!(
                "tls.key has {keys} files and tls.cert has {certs}: expected the key of each certificate"
            )));
        }
        let pair = |(chain, key): (&std::path::PathBuf, &std::path::PathBuf)| {
            Ok((Pem::read("tls.cert", chain)?, Pem::read("tls.key", key)?))
        };
        let optional = |key: &str, path: &Option<std::path::PathBuf>| {
            path.as_deref().map(|path| Pem::read(key, path)).transpose()
        };
        Ok(Some(Self {
            pairs: settings.cert.iter().zip(&settings.key).map(pair).collect::<Result<_, _>>()?,
            client_ca: optional("tls.client_ca", &settings.client_ca)?,
            client_crl: optional("tls.client_crl", &settings.client_crl)?,
        }))
    }

    /// As bytes, for another process.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let number = |bytes: &mut Vec<u8>, number: usize| {
            bytes.extend((number as u64).to_le_bytes());
        };
        let mut pem = |pem: Option<&Pem>| {
            let parts = pem.map_or([&b""[..]; 2], |pem| [pem.name.as_bytes(), &pem.bytes]);
            for part in parts {
                number(&mut bytes, part.len());
                bytes.extend(part);
            }
        };
        pem(self.client_ca.as_ref());
        pem(self.client_crl.as_ref());
        for (chain, key) in &self.pairs {
            pem(Some(chain));
            pem(Some(key));
        }
        bytes
    }

    /// What [`encode`](Self::encode) was given; `None` if it was something else.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let (client_ca, client_crl) = (decode_pem(&mut bytes)?, decode_pem(&mut bytes)?);
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            pairs.push((decode_pem(&mut bytes)?, decode_pem(&mut bytes)?));
        }
        let given = |pem: Pem| (!pem.name.is_empty()).then_some(pem);
        let (client_ca, client_crl) = (given(client_ca), given(client_crl));
        (!pairs.is_empty()).then_some(Self { pairs, client_ca, client_crl })
    }
}

fn decode_pem(bytes: &mut &[u8]) -> Option<Pem> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        *bytes = rest;
        Some(part.to_vec())
    };
    Some(Pem { name: String::from_utf8(part()?).ok()?, bytes: part()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_survives_encoding_and_decoding() {
        let pem = |name: &str| Pem::new(name, name.repeat(99));
        let mut material = Material {
            pairs: vec![(pem("a.crt"), pem("a.key")), (pem("b.crt"), pem("b.key"))],
            client_ca: None,
            client_crl: None,
        };
        for ca in [None, Some(pem("ca.crt"))] {
            material.client_ca = ca;
            let bytes = material.encode();
            assert_eq!(Material::decode(&bytes).as_ref(), Some(&material));
            assert_eq!(Material::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Material::decode(b""), None);
    }
}
