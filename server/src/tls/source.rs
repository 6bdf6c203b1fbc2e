//! Where the material of a running server comes from, and what is made of it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use towline_config::Tls;

use super::{Material, TlsServer};
use crate::RunError;

/// Material with what was made of it.
#[derive(Debug, Clone)]
pub struct TlsChange {
    /// As it was read.
    pub material: Arc<Material>,
    /// What handshakes are made with.
    pub server: Arc<TlsServer>,
}

impl TlsChange {
    /// Checks material and settings.
    ///
    /// # Errors
    /// With what is wrong with which file.
    pub fn new(material: Arc<Material>, settings: &Tls) -> Result<Self, RunError> {
        let server = TlsServer::new(&material, settings)?;
        Ok(Self { material, server })
    }

    /// From `given` by the program, or else from the files that the settings name; `None` without TLS.
    ///
    /// Blocks while files are read.
    ///
    /// # Errors
    /// With what is wrong with which file.
    pub fn load(given: Option<&Material>, settings: &Tls) -> Result<Option<Self>, RunError> {
        let material = match given {
            Some(given) => Some(given.clone()),
            None => Material::read(settings)?,
        };
        material.map(|material| Self::new(Arc::new(material), settings)).transpose()
    }
}

/// The material in force.
#[derive(Debug)]
pub(crate) struct TlsSource {
    material: Mutex<Option<Arc<Material>>>,
    reloads_ok: AtomicU64,
    reloads_failed: AtomicU64,
    last_ok: AtomicBool,
}

impl TlsSource {
    /// With the material of the start.
    pub(crate) fn of(first: Option<&TlsChange>) -> Self {
        Self {
            material: Mutex::new(first.map(|first| first.material.clone())),
            reloads_ok: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
            last_ok: AtomicBool::new(true),
        }
    }

    /// The material in force; `None` without TLS.
    pub(crate) fn material(&self) -> Option<Arc<Material>> {
        self.material.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this is in force.
    pub(crate) fn set(&self, material: Arc<Material>) {
        *self.material.lock().unwrap_or_else(PoisonError::into_inner) = Some(material);
        self.count(true);
    }

    /// Counts material that was read and taken over, or was not.
    pub(crate) fn count(&self, ok: bool) {
        let counter = if ok { &self.reloads_ok } else { &self.reloads_failed };
        counter.fetch_add(1, Relaxed);
        self.last_ok.store(ok, Relaxed);
    }

    /// What is exported of it.
    #[cfg(feature = "admin")]
    pub(crate) fn status(&self, in_force: Option<&TlsChange>) -> Option<crate::counts::TlsStatus> {
        Some(crate::counts::TlsStatus {
            expiries: in_force?.server.expiries().to_vec(),
            reloads: [&self.reloads_ok, &self.reloads_failed].map(|count| count.load(Relaxed)),
            last_reload_ok: self.last_ok.load(Relaxed),
        })
    }

    /// What changes with `read`, or with the settings `after`, if anything does. Sessions of before are not resumed
    /// after a change, so there is none where nothing differs.
    ///
    /// # Errors
    /// With what is wrong with which file.
    pub(crate) fn change(
        &self,
        read: Option<&Arc<Material>>,
        before: &Tls,
        after: &Tls,
    ) -> Result<Option<TlsChange>, RunError> {
        // TLS is turned on and off at a restart.
        let Some(current) = self.material() else { return Ok(None) };
        let wanted = read.unwrap_or(&current);
        if *wanted == current && before == after {
            if read.is_some() {
                self.last_ok.store(true, Relaxed);
            }
            return Ok(None);
        }
        TlsChange::new(wanted.clone(), after).map(Some)
    }
}
