use std::{
    fmt::{Debug, Display},
    thread,
    time::Duration,
};

/// Longest wait for anything: far more than a busy machine needs, so that only what hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(10);

/// Calls `probe` every 10 ms until it succeeds; panics with `what` and the last error after
/// [`PATIENCE`].
#[track_caller]
pub fn wait_for<T, E: Debug>(what: impl Display, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let mut probed = probe();
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        match probed {
            Ok(found) => return found,
            Err(_) => thread::sleep(STEP),
        }
        probed = probe();
    }
    probed.unwrap_or_else(|error| panic!("waited for {what} in vain: {error:#?}"))
}

/// Calls `is` every 10 ms until it is true; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: impl Display, mut is: impl FnMut() -> bool) {
    wait_for(what, || is().then_some(()).ok_or(()));
}
