//! How a frame is split into a verb and arguments, where the protocol's own way does not fit.

use super::Router;
use crate::{
    protocol::Protocol,
    reply::{Args, Commands},
};

/// Splits the frames of `P`.
pub(super) trait Split<P: Protocol>: Send + Sync {
    fn args<'a>(&self, frame: P::Frame<'a>) -> Args<'a>;
}

/// Splits frames that are bytes.
struct SplitBytes(fn(&[u8]) -> Args<'_>);

impl<P: for<'a> Protocol<Frame<'a> = &'a [u8]>> Split<P> for SplitBytes {
    fn args<'a>(&self, frame: P::Frame<'a>) -> Args<'a> {
        (self.0)(frame)
    }
}

/// For protocols whose frames are bytes.
impl<P, S> Router<P, S>
where
    P: Commands + for<'a> Protocol<Frame<'a> = &'a [u8]>,
    S: Send + 'static,
{
    /// Splits frames by `split`. Default: [`Commands::args`] of the protocol.
    ///
    /// ```
    /// use towline_middleware::{protocol::AnyEol, reply::Args, router::{Router, RouterError}};
    ///
    /// # fn main() -> Result<(), RouterError> {
    /// let routes = Router::<AnyEol, ()>::new()
    ///     // A line of IRC may begin with its sender: `:ann PRIVMSG #here :hello`.
    ///     .args_of(|line| match line.strip_prefix(b":") {
    ///         Some(line) => {
    ///             let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    ///             Args::words(&line[end..])
    ///         }
    ///         None => Args::words(line),
    ///     })
    ///     .command("PRIVMSG", |_: &mut (), args: Args<'_>| args.exactly().map(|[to, _]| to.to_vec()))
    ///     .build()?;
    /// # let _ = routes; Ok(()) }
    /// ```
    pub fn args_of(mut self, split: fn(&[u8]) -> Args<'_>) -> Self {
        self.split = Some(Box::new(SplitBytes(split)));
        self
    }
}
