//! Errors of accept(2), by what they concern.

use std::io;

use crate::counts::ERRNOS;

/// What an error of accept(2) concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptErrorClass {
    /// One connection, which is gone: accept the next.
    Connection,
    /// The process or the host, which lacks resources or permission and may have them later: wait.
    Resources,
    /// The listening socket, which will not work again: stop.
    Listener,
}

/// Classifies an error by the list in Linux's manual page accept(2), and returns its index in
/// [`ERRNOS`].
pub(super) fn classify(error: &io::Error) -> (AcceptErrorClass, usize) {
    use rustix::io::Errno;
    let index =
        |errno: &str| ERRNOS.iter().position(|name| *name == errno).unwrap_or(ERRNOS.len() - 1);
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => (AcceptErrorClass::Resources, index("EMFILE")),
        Some(Errno::NFILE) => (AcceptErrorClass::Resources, index("ENFILE")),
        Some(Errno::NOBUFS) => (AcceptErrorClass::Resources, index("ENOBUFS")),
        Some(Errno::NOMEM) => (AcceptErrorClass::Resources, index("ENOMEM")),
        Some(Errno::CONNABORTED) => (AcceptErrorClass::Connection, index("ECONNABORTED")),
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => {
            (AcceptErrorClass::Listener, index("other"))
        }
        // Network errors already pending on the new socket, a signal.
        Some(
            Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::CONNRESET
            | Errno::TIMEDOUT
            | Errno::INTR,
        ) => (AcceptErrorClass::Connection, index("other")),
        // Among others EPERM: a firewall's refusal of one connection, or a seccomp filter's of every
        // call. Retrying it or an unknown error at once could spin, so they back off.
        _ => (AcceptErrorClass::Resources, index("other")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_fall_into_three_classes() {
        let class = |errno: rustix::io::Errno| {
            let (class, index) = classify(&io::Error::from(errno));
            (class, ERRNOS[index])
        };
        use rustix::io::Errno;
        assert_eq!(class(Errno::MFILE), (AcceptErrorClass::Resources, "EMFILE"));
        assert_eq!(class(Errno::NOMEM), (AcceptErrorClass::Resources, "ENOMEM"));
        assert_eq!(class(Errno::CONNABORTED), (AcceptErrorClass::Connection, "ECONNABORTED"));
        assert_eq!(class(Errno::PERM), (AcceptErrorClass::Resources, "other"));
        assert_eq!(class(Errno::INVAL), (AcceptErrorClass::Listener, "other"));
        assert_eq!(class(Errno::NOSYS), (AcceptErrorClass::Resources, "other"));
    }
}
