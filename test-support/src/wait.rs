use std::{fmt::Display, thread, time::Duration};

/// Longest wait for anything: far more than a busy machine needs, so that only what hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(10);

/// Calls `probe` every 10 ms until it returns a value; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: impl Display, mut probe: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if let Some(found) = probe() {
            return found;
        }
        thread::sleep(STEP);
    }
    panic!("waited for {what} in vain");
}

/// Calls `is` every 10 ms until it is true; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: impl Display, mut is: impl FnMut() -> bool) {
    wait_for(what, || is().then_some(()));
}
