//! Errors of services: the log, limited in rate and in size, and the hook of the program.

use std::{
    error::Error,
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use towline_middleware::BoxError;

use super::Peer;
use crate::{counts::PublicId, hooks::ServiceErrorHook};

/// Time between two errors in the log, of whatever servers and threads of the process.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest text of an error in the log.
const TEXT_BYTES_MAX: usize = 512;

static THROTTLE: Mutex<Throttle> = Mutex::new(Throttle { next: None, left_out: 0 });

/// Logs the error with which a service ended the connection of `peer`, and hands it to the program.
#[cold]
pub(super) fn report(
    id: Option<PublicId>,
    peer: Option<Peer>,
    error: &BoxError,
    hook: Option<&ServiceErrorHook>,
) {
    log(id, peer.as_ref(), error);
    if let Some(hook) = hook {
        hook.call(peer, error);
    }
}

/// Logs the error with which a service ended the connection of `peer`, unless another was logged within
/// the last second. `peer` is `None` if it is gone already.
fn log(id: Option<PublicId>, peer: Option<&Peer>, error: &BoxError) {
    let mut throttle = THROTTLE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(left_out) = throttle.admit(Instant::now()) else { return };
    drop(throttle);
    let peer = peer.map_or_else(|| "gone".to_owned(), ToString::to_string);
    let error = text(&**error);
    tracing::warn!(
        id = id.map(tracing::field::display),
        peer,
        reason = "service_error",
        error,
        left_out,
        "connection closed: its service failed"
    );
}

/// Lets one error through in each interval.
struct Throttle {
    next: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// Returns how many errors were left out since the last that was admitted, if this one is admitted.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.left_out += 1;
            return None;
        }
        self.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The sentence of an error and those of its causes on one line. Much of it may come from the client: control
/// characters are escaped, and the length is bounded.
fn text(error: &(dyn Error + 'static)) -> String {
    let mut text = Bounded(String::new());
    let mut next = Some(error);
    // Ends with an error when the text is full.
    while let Some(error) = next
        && write!(text, "{}{error}", if text.0.is_empty() { "" } else { ": " }).is_ok()
    {
        next = error.source();
    }
    text.0
}

/// Collects text until it is long enough, without what a log's reader could be misled by.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.0.len() >= TEXT_BYTES_MAX {
                self.0.push('…');
                return Err(fmt::Error);
            }
            match char {
                '"' | '\'' => self.0.push(char),
                _ => self.0.extend(char.escape_debug()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_error_a_second_is_admitted_and_the_others_are_counted() {
        let mut throttle = Throttle { next: None, left_out: 0 };
        let mut admit = || throttle.admit(Instant::now());
        assert_eq!([admit(), admit(), admit()], [Some(0), None, None]);
        tokio::time::advance(INTERVAL).await;
        assert_eq!([admit(), admit()], [Some(2), None]);
        tokio::time::advance(10 * INTERVAL).await;
        assert_eq!([admit(), admit()], [Some(1), None]);
    }

    #[test]
    fn the_text_has_the_causes_on_one_line_of_bounded_length() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("it's \"broken\"")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        use std::io;
        let error = Outer(io::Error::other("a\nb\u{1b}[31m"));
        assert_eq!(text(&error), "it's \"broken\": a\\nb\\u{1b}[31m");
        let long = text(&Outer(io::Error::other("ü\n".repeat(1000))));
        assert!(long.len() <= TEXT_BYTES_MAX + 8 && long.ends_with('…'), "{} bytes", long.len());
    }
}
