//! The limit of open files of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that this process may have open: the soft `RLIMIT_NOFILE` of getrlimit(2).
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft descriptor limit of this process to the hard one and returns what it is then.
///
/// The hard limit is not touched, so no privilege is needed. A refusal by the kernel is logged as a
/// warning, and the limit stays as it was. The limit belongs to the whole process: a library should
/// leave this to its program.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if soft < hard {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => return hard,
            Err(error) => tracing::warn!(soft, hard, %error, "descriptor limit not raised"),
        }
    }
    soft
}
