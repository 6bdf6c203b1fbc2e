//! Registration of descriptors that no Tokio type owns.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers `inner` with the runtime of the calling thread.
///
/// # Errors
/// When epoll has no memory or no watches left.
#[expect(
    deprecated,
    reason = "`with_interest` is deprecated because it accepts any integer as a descriptor; its \
              successor `register_with_interest` is `unsafe`, which this workspace forbids. The bound \
              `AsFd` excludes integers, and the types used here own one descriptor and keep it open"
)]
pub fn register<T: AsFd + AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}
