//! Socket activation: the listening socket that a service manager passes, as sd_listen_fds(3) says.
//!
//! The manager made the socket and keeps it open, so connections that arrive between the end of one
//! server and the start of the next wait in its queue and are not refused.

use std::{
    env, mem,
    os::fd::OwnedFd,
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{AddressFamily, SocketType, sockopt},
};
use sd_listen_fds::get;
use socket2::Socket;

use crate::RunError;

const PID_VARIABLE: &str = "LISTEN_PID";
const COUNT_VARIABLE: &str = "LISTEN_FDS";

/// A descriptor has one owner: the first caller of [`passed_listener`].
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The listening socket that was passed to this process, if one was. Later calls return `None`, and so
/// do child processes that inherit the variables, which name their parent.
///
/// # Errors
/// When the variables or the descriptor do not pass one listening socket of TCP or UNIX.
pub fn passed_listener() -> Result<Option<Socket>, RunError> {
    let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (pid, count) = (variable(PID_VARIABLE), variable(COUNT_VARIABLE));
    if !is_passed(pid.as_deref(), count.as_deref(), process::id())? || TAKEN.swap(true, Relaxed) {
        return Ok(None);
    }
    let fds = get().map_err(|error| RunError::usage(format!("{COUNT_VARIABLE}: {error}")))?;
    let Some((_name, fd)) = fds.into_iter().next() else { return Ok(None) };
    let fd = fd.into_std();
    match check_listening(&fd) {
        Ok(()) => Ok(Some(fd.into())),
        Err(what) => {
            // Not closed, because it may not be open: another file could have its number by then.
            mem::forget(fd);
            Err(RunError::usage(format!(
                "{COUNT_VARIABLE} = 1 passes descriptor 3, which is {what}, expected a listening stream \
                 socket of TCP or UNIX"
            )))
        }
    }
}

/// Whether the variables pass one socket to the process `own`.
fn is_passed(pid: Option<&str>, count: Option<&str>, own: u32) -> Result<bool, RunError> {
    let Some(pid) = pid else { return Ok(false) };
    let process: u32 = pid.parse().map_err(|_not_a_number| {
        RunError::usage(format!("{PID_VARIABLE} = \"{pid}\" is no process, expected its number"))
    })?;
    match count {
        Some("1") if process == own => Ok(true),
        Some(count) if process == own => Err(RunError::usage(format!(
            "{COUNT_VARIABLE} = \"{count}\" cannot be served, expected 1: the socket for lines \
             (server.admin opens its own)"
        ))),
        _ => Ok(false),
    }
}

/// Checks that a descriptor is a listening stream socket.
///
/// # Errors
/// What the descriptor is instead.
fn check_listening(fd: &OwnedFd) -> Result<(), &'static str> {
    // Fails if it is not open. Close-on-exec, so that no child process keeps the socket open.
    fcntl_setfd(fd, FdFlags::CLOEXEC).map_err(|_closed| "not open")?;
    match sockopt::socket_type(fd) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err("a socket of another type"),
        Err(_) => return Err("no socket"),
    }
    match sockopt::socket_domain(fd) {
        Ok(AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX) => {}
        _ => return Err("a socket of another family"),
    }
    match sockopt::socket_acceptconn(fd) {
        Ok(true) => Ok(()),
        _ => Err("a socket that does not listen (Accept=yes in its unit passes such)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_belongs_only_to_the_process_that_it_is_passed_to() {
        let passed = |pid, count| is_passed(pid, count, 7).map_err(|error| error.to_string());
        assert_eq!(passed(Some("7"), Some("1")), Ok(true));
        for (pid, count) in
            [(None, None), (None, Some("1")), (Some("8"), Some("1")), (Some("8"), Some("x"))]
        {
            assert_eq!(passed(pid, count), Ok(false), "{pid:?} {count:?}");
        }
        assert_eq!(passed(Some("7"), None), Ok(false));
        for count in ["0", "2", "-1", "4000000000", "one", ""] {
            let error = passed(Some("7"), Some(count)).expect_err(count);
            assert!(
                error.contains(&format!("\"{count}\"")) && error.contains("expected 1"),
                "{error}"
            );
        }
        assert!(passed(Some("me"), Some("1")).is_err_and(|error| error.contains("\"me\"")));
    }
}
