//! Functions that answer commands.

use crate::{
    reply::{Args, IntoReply, Replies},
    session::{Action, Cx},
};

/// A function that answers commands: `Fn(&mut S, Args<'_>) -> R`, or with `&mut Cx<'_, P>` as a third argument,
/// where `R` is [`IntoReply`].
///
/// `M` is inferred, and is never written: it tells the two shapes apart. Implemented for functions and closures
/// alone. A closure must name the types of its arguments.
///
/// ```
/// use towline_middleware::{
///     protocol::Lf,
///     reply::{Args, ReplyError},
///     router::Router,
///     session::{Cx, Deferred},
/// };
///
/// struct Count(u32);
///
/// fn add(count: &mut Count, args: Args<'_>) -> Result<u32, ReplyError> {
///     count.0 = count.0.saturating_add(args.parse()?);
///     Ok(count.0)
/// }
///
/// fn who(_: &mut Count, _: Args<'_>, cx: &mut Cx<'_, Lf>) -> String {
///     cx.conn().id().to_string()
/// }
///
/// fn slow(count: &mut Count, _: Args<'_>) -> Deferred<Lf, Count> {
///     let number = count.0;
///     Deferred::new(async move { number.to_string() })
/// }
///
/// let router = Router::<Lf, Count>::new()
///     .command("ADD", add)
///     .command("WHO", who)
///     .command("SLOW", slow)
///     .command("RESET", |count: &mut Count, _: Args<'_>| count.0 = 0);
/// # drop(router);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer commands of `{S}`",
    label = "expected `fn(&mut {S}, Args<'_>) -> impl IntoReply`",
    note = "a handler is `fn(&mut State, Args<'_>) -> R`, optionally with `&mut Cx<'_, P>` as a third argument, \
            where `R` is a reply: text, bytes, numbers, `()`, `Option`, `Vec`, `Result<_, ReplyError>`, `Close(_)`, \
            `Deferred` or `ReplyStream`",
    note = "a closure names the types of its arguments: `|state: &mut State, args: Args<'_>| …`",
    note = "what a handler waits for goes into `Deferred::new(async move {{ … }})`: an `async fn` is no handler",
    note = "a function that returns `impl Trait` must say `+ use<>`, or return `Deferred` or `ReplyStream`"
)]
pub trait Handler<P: Replies, S, M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn answer(&self, state: &mut S, args: Args<'_>, cx: &mut Cx<'_, P>) -> Action<P, S>;
}

mod shape {
    /// A handler without a context.
    #[derive(Debug)]
    pub enum Plain {}

    /// A handler with a context.
    #[derive(Debug)]
    pub enum WithCx {}
}

impl<P, S, F, R> Handler<P, S, (shape::Plain, R)> for F
where
    P: Replies,
    F: Fn(&mut S, Args<'_>) -> R + Send + Sync + 'static,
    R: IntoReply<P, S>,
{
    #[inline]
    fn answer(&self, state: &mut S, args: Args<'_>, cx: &mut Cx<'_, P>) -> Action<P, S> {
        cx.reply(self(state, args))
    }
}

impl<P, S, F, R> Handler<P, S, (shape::WithCx, R)> for F
where
    P: Replies,
    F: Fn(&mut S, Args<'_>, &mut Cx<'_, P>) -> R + Send + Sync + 'static,
    R: IntoReply<P, S>,
{
    #[inline]
    fn answer(&self, state: &mut S, args: Args<'_>, cx: &mut Cx<'_, P>) -> Action<P, S> {
        let reply = self(state, args, cx);
        cx.reply(reply)
    }
}
