//! Services made of functions.

use tower::util::ServiceFn;

/// A service that calls `function` with each request: with a batch of lines, or in
/// [`EachLine`](crate::EachLine) with a line.
///
/// As Tower's function of this name, for functions that do not change what they own. A service is cloned for
/// each connection and for each call, so a closure that counted in a variable of its own would count for each
/// clone alone. It does not compile; what is shared goes into an `Arc`.
///
/// ```
/// use std::{
///     convert::Infallible,
///     sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}},
/// };
/// use towline::{Lines, Server, service_fn};
///
/// let total = Arc::new(AtomicU64::new(0));
/// let counting = service_fn(move |lines: Lines| {
///     total.fetch_add(lines.count() as u64, Relaxed);
///     async move { Ok::<_, Infallible>(lines) }
/// });
/// let server = Server::builder().serve(counting);
/// ```
///
/// ```compile_fail
/// use std::convert::Infallible;
/// use towline::{Lines, service_fn};
///
/// let mut total = 0;
/// let counting = service_fn(move |lines: Lines| {
///     total += lines.count();
///     async move { Ok::<_, Infallible>(lines) }
/// });
/// ```
pub fn service_fn<F, Request, Reply>(function: F) -> ServiceFn<F>
where
    F: Fn(Request) -> Reply,
{
    tower::service_fn(function)
}
