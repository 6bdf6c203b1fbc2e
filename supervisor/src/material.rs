//! Certificates and keys on their way to a worker: read by the supervisor alone, so that all workers have the same.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    sync::Arc,
};

use rustix::fs::{MemfdFlags, memfd_create};
use towline::internal::Material;

/// Longest material that is taken from a supervisor.
const BYTES_MAX: u64 = 256 << 20;

/// Memory with the material in it, which a message can carry however long it is.
///
/// # Errors
/// When there is no descriptor, or no memory.
pub(crate) fn share(material: &Material) -> io::Result<Arc<OwnedFd>> {
    let mut file = File::from(memfd_create("towline-tls", MemfdFlags::CLOEXEC)?);
    file.write_all(&material.encode())?;
    Ok(Arc::new(file.into()))
}

/// Reads what [`share`] wrote. The position of the descriptor, which processes share, stays.
///
/// # Errors
/// When it cannot be read, and when it is something else.
pub(crate) fn receive(memory: OwnedFd) -> io::Result<Material> {
    let file = File::from(memory);
    let length = file.metadata()?.len().min(BYTES_MAX);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Material::decode(&bytes)
        .ok_or_else(|| io::Error::other("the certificates are of another version of this program"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use towline_config::Tls;

    use super::*;

    #[test]
    fn each_receiver_gets_all_of_it() {
        let mut settings = Tls::default();
        // Any file will do: it is not looked into.
        let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        (settings.cert, settings.key) = (vec![file.clone()], vec![file]);
        let material = Material::read(&settings).expect("a file").expect("a certificate");
        let memory = share(&material).expect("memory");
        for _ in 0..2 {
            let received = receive(memory.try_clone().expect("a descriptor")).expect("material");
            assert_eq!(received, material);
        }
    }
}
