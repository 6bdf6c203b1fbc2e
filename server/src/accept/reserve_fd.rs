//! A descriptor in reserve, for answering a client when the process has no other left.

use std::{fs::File, io};

use rustix::io::Errno;

/// An open file whose descriptor can be released for one short use.
#[derive(Debug, Default)]
pub(crate) struct ReserveFd(Option<File>);

impl ReserveFd {
    /// Takes a descriptor into reserve if there is none yet and the process has one left.
    pub(crate) fn acquire(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    pub(crate) const fn is_held(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

/// Whether the process, or the host, has no descriptor left.
pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
