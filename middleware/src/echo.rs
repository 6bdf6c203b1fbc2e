//! A line service that copies nothing.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{BoxError, Lines};

/// Answers every line with itself, unchanged, by returning the batch.
///
/// *Goes*: innermost in the line stack, as the service of an example, a test or a benchmark. *Costs*:
/// nothing; copies nothing.
///
/// ```
/// use tower::ServiceExt;
/// use towline_middleware::{BoxError, Echo, Lines};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let lines = Lines::from_iter(["a", "b"]);
/// assert_eq!(Echo.oneshot(lines.clone()).await?, lines);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Echo;

impl Service<Lines> for Echo {
    type Response = Lines;
    type Error = BoxError;
    type Future = Ready<Result<Lines, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, lines: Lines) -> Self::Future {
        ready(Ok(lines))
    }
}
