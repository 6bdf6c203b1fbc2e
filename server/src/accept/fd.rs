//! Descriptors that are not tokio's, registered with a runtime.

use std::{io, os::fd::AsRawFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with this thread's driver.
#[expect(
    deprecated,
    reason = "its successor is `unsafe` and asks what holds here: both types we give it own their \
              descriptor, and keep it open and the same for as long as they live"
)]
pub fn watch<T: AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}
