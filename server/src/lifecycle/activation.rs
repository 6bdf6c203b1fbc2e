//! Socket activation: the listening sockets that a service manager passes, as sd_listen_fds(3) says.
//!
//! The manager made the sockets and keeps them open, so connections that arrive between the end of one
//! server and the start of the next wait in their queues and are not refused.

use std::{
    env, mem,
    os::fd::{AsRawFd, OwnedFd},
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{AddressFamily, SocketType, sockopt},
};
use sd_listen_fds::get;

use crate::{RunError, accept::PassedSocket};

const PID_VARIABLE: &str = "LISTEN_PID";
const COUNT_VARIABLE: &str = "LISTEN_FDS";

/// A descriptor has one owner: the first caller of [`passed_listeners`].
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Most sockets that can be passed.
const SOCKETS_MAX: usize = 32;

/// The listening sockets that were passed to this process, with the names of `LISTEN_FDNAMES`. Later calls return
/// none, and so do child processes that inherit the variables, which name their parent.
///
/// # Errors
/// When the variables or the descriptors do not pass listening sockets of TCP or UNIX.
pub fn passed_listeners() -> Result<Vec<PassedSocket>, RunError> {
    let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (pid, count) = (variable(PID_VARIABLE), variable(COUNT_VARIABLE));
    if !is_passed(pid.as_deref(), count.as_deref(), process::id())? || TAKEN.swap(true, Relaxed) {
        return Ok(Vec::new());
    }
    let fds = get().map_err(|error| RunError::usage(format!("{COUNT_VARIABLE}: {error}")))?;
    let (count, mut sockets, mut wrong) = (fds.len(), Vec::with_capacity(fds.len()), None);
    for (name, fd) in fds {
        let fd = fd.into_std();
        match check_listening(&fd) {
            Ok(()) => sockets.push(PassedSocket { name, socket: fd.into() }),
            Err(what) => {
                wrong.get_or_insert((fd.as_raw_fd(), what));
                // Not closed, because it may not be open: another file could have its number by then.
                mem::forget(fd);
            }
        }
    }
    match wrong {
        None => Ok(sockets),
        Some((number, what)) => Err(RunError::usage(format!(
            "{COUNT_VARIABLE} = {count} passes descriptor {number}, which is {what}, expected a listening \
             stream socket of TCP or UNIX"
        ))),
    }
}

/// Whether the variables pass sockets to the process `own`.
fn is_passed(pid: Option<&str>, count: Option<&str>, own: u32) -> Result<bool, RunError> {
    let Some(pid) = pid else { return Ok(false) };
    let process: u32 = pid.parse().map_err(|_not_a_number| {
        RunError::usage(format!("{PID_VARIABLE} = \"{pid}\" is no process, expected its number"))
    })?;
    match count {
        Some(count) if process == own => match count.parse() {
            Ok(1..=SOCKETS_MAX) => Ok(true),
            _ => Err(RunError::usage(format!(
                "{COUNT_VARIABLE} = \"{count}\" cannot be served, expected 1 to {SOCKETS_MAX}: the sockets \
                 for lines (server.admin opens its own)"
            ))),
        },
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
        assert_eq!(passed(Some("7"), Some("32")), Ok(true));
        for count in ["0", "33", "-1", "4000000000", "one", ""] {
            let error = passed(Some("7"), Some(count)).expect_err(count);
            assert!(
                error.contains(&format!("\"{count}\"")) && error.contains("expected 1"),
                "{error}"
            );
        }
        assert!(passed(Some("me"), Some("1")).is_err_and(|error| error.contains("\"me\"")));
    }
}
