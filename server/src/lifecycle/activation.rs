//! The socket that a service manager passes, as sd_listen_fds(3) says.
//!
//! The manager made it and keeps it, so it outlives the server: connections that come while there is
//! none, between the end of one and the start of the next, wait in its queue and are not refused.

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

const PROCESS: &str = "LISTEN_PID";
const COUNT: &str = "LISTEN_FDS";

/// A descriptor has one owner: whoever asks first.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The listening socket passed to this process, if one was.
///
/// A child that inherits the variables finds another's process in them, and no socket.
pub fn passed() -> Result<Option<Socket>, RunError> {
    let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (to, count) = (variable(PROCESS), variable(COUNT));
    if !is_passed(to.as_deref(), count.as_deref(), process::id())? || TAKEN.swap(true, Relaxed) {
        return Ok(None);
    }
    let fds = get().map_err(|error| RunError::usage(format!("{COUNT}: {error}")))?;
    let Some((_name, fd)) = fds.into_iter().next() else { return Ok(None) };
    let fd = fd.into_std();
    match listening(&fd) {
        Ok(()) => Ok(Some(fd.into())),
        Err(what) => {
            // What is not open must not be closed: another may have its number by then.
            mem::forget(fd);
            Err(RunError::usage(format!(
                "{COUNT} = 1 passes descriptor 3, which is {what}, expected a listening stream \
                 socket of TCP or UNIX"
            )))
        }
    }
}

/// Whether the variables pass one socket to the process `own`.
fn is_passed(to: Option<&str>, count: Option<&str>, own: u32) -> Result<bool, RunError> {
    let Some(to) = to else { return Ok(false) };
    let process: u32 = to.parse().map_err(|_not_a_number| {
        RunError::usage(format!("{PROCESS} = \"{to}\" is no process, expected its number"))
    })?;
    match count {
        Some("1") if process == own => Ok(true),
        Some(count) if process == own => Err(RunError::usage(format!(
            "{COUNT} = \"{count}\" cannot be served, expected 1: the socket for lines \
             (server.admin opens its own)"
        ))),
        _ => Ok(false),
    }
}

/// What a descriptor is if not a listening socket whose connections can be served.
fn listening(fd: &OwnedFd) -> Result<(), &'static str> {
    // Also finds out whether it is open. What is started from here must not hold the queue.
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
    fn a_socket_is_taken_only_by_the_process_it_is_passed_to() {
        let passed = |to, count| is_passed(to, count, 7).map_err(|error| error.to_string());
        assert_eq!(passed(Some("7"), Some("1")), Ok(true));
        for (to, count) in
            [(None, None), (None, Some("1")), (Some("8"), Some("1")), (Some("8"), Some("x"))]
        {
            assert_eq!(passed(to, count), Ok(false), "{to:?} {count:?}");
        }
        assert_eq!(passed(Some("7"), None), Ok(false));
        for count in ["0", "2", "-1", "4000000000", "one", ""] {
            let told = passed(Some("7"), Some(count)).expect_err(count);
            assert!(
                told.contains(&format!("\"{count}\"")) && told.contains("expected 1"),
                "{told}"
            );
        }
        assert!(passed(Some("me"), Some("1")).is_err_and(|told| told.contains("\"me\"")));
    }
}
