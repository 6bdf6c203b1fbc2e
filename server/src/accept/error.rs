//! What an error of accept(2) says.

use std::io;

use crate::counts::ERRNOS;

/// What an error of accept(2) says about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptErrorClass {
    /// One connection, which is gone: go on.
    Connection,
    /// The host's resources: wait, they may come back.
    Resources,
    /// The listening socket: it will not work again.
    Listener,
}

/// Sorts an error, as accept(2) of the Linux manual lists them.
pub(super) fn classify(error: &io::Error) -> (AcceptErrorClass, usize) {
    use rustix::io::Errno;
    let fault = |at: &str| ERRNOS.iter().position(|name| *name == at).unwrap_or(ERRNOS.len() - 1);
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => (AcceptErrorClass::Resources, fault("EMFILE")),
        Some(Errno::NFILE) => (AcceptErrorClass::Resources, fault("ENFILE")),
        Some(Errno::NOBUFS) => (AcceptErrorClass::Resources, fault("ENOBUFS")),
        Some(Errno::NOMEM) => (AcceptErrorClass::Resources, fault("ENOMEM")),
        Some(Errno::CONNABORTED) => (AcceptErrorClass::Connection, fault("ECONNABORTED")),
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => {
            (AcceptErrorClass::Listener, fault("other"))
        }
        // Network errors already pending on the new socket, a firewall's refusal, a signal.
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
            | Errno::PERM
            | Errno::INTR,
        ) => (AcceptErrorClass::Connection, fault("other")),
        // Nothing says that the next attempt fares better, so it must not come at once.
        _ => (AcceptErrorClass::Resources, fault("other")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_fall_into_three_classes() {
        let class = |errno: rustix::io::Errno| {
            let (fault, at) = classify(&io::Error::from(errno));
            (fault, ERRNOS[at])
        };
        use rustix::io::Errno;
        assert_eq!(class(Errno::MFILE), (AcceptErrorClass::Resources, "EMFILE"));
        assert_eq!(class(Errno::NOMEM), (AcceptErrorClass::Resources, "ENOMEM"));
        assert_eq!(class(Errno::CONNABORTED), (AcceptErrorClass::Connection, "ECONNABORTED"));
        assert_eq!(class(Errno::PERM), (AcceptErrorClass::Connection, "other"));
        assert_eq!(class(Errno::INVAL), (AcceptErrorClass::Listener, "other"));
        assert_eq!(class(Errno::NOSYS), (AcceptErrorClass::Resources, "other"));
    }
}
