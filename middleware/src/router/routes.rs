//! A table of commands, and a session of it.

use std::{fmt, sync::Arc};

use super::{hooks::Hooks, route::Route, split::Split, verbs::Verbs};
use crate::{
    reply::{Args, Commands, ReplyError, shown_verb},
    session::{Action, ActionOf, Cx, FrameOf, Overlap, Refused, Session, SessionStack},
    stats::{CloseReason, CommandResult, CommandStats, CountedCommand, Nanos, PendingCommand},
};

/// The label under which unknown verbs are counted.
pub(super) const OTHER: &str = "other";

/// The table of a [`Router`](super::Router), checked. A clone is two reference counts.
pub struct Routes<P: Commands, S> {
    table: Arc<Table<P, S>>,
    /// Where commands are counted.
    stats: Option<Arc<CommandStats>>,
}

/// What a [`Router`](super::Router) holds when it is built.
pub(super) struct Table<P: Commands, S> {
    pub(super) verbs: Verbs,
    /// By the number of the verb.
    pub(super) routes: Box<[Route<P, S>]>,
    pub(super) fallback: Option<Route<P, S>>,
    pub(super) hooks: Hooks<P, S>,
    /// The number under which unknown verbs are counted.
    pub(super) other: usize,
    pub(super) bogus_max: Option<u32>,
    pub(super) overlap: Overlap,
    pub(super) split: Option<Box<dyn Split<P>>>,
}

impl<P: Commands, S> Table<P, S> {
    /// The commands as they are counted: those of the table, and `other` if it is none of them.
    fn counted(&self) -> Vec<CountedCommand> {
        let routes = self.verbs.iter().zip(self.routes.iter());
        let mut commands: Vec<_> = routes.map(|(verb, route)| (verb, route.timed)).collect();
        let timed = self.fallback.as_ref().is_some_and(|route| route.timed);
        match commands.get_mut(self.other) {
            Some(other) => other.1 |= timed,
            None => commands.push((OTHER, timed)),
        }
        commands
    }
}

impl<P: Commands, S: Send + 'static> Routes<P, S> {
    pub(super) fn new(table: Table<P, S>) -> Self {
        Self { table: Arc::new(table), stats: None }
    }

    /// The same commands, counted in the metrics of `stack`: one for each shard. Default: they are not counted.
    ///
    /// [`Stats::commands`](crate::stats::Stats::commands) reads them. Unknown verbs count as `other`,
    /// together with a command of that name. A command whose connection ends before its reply counts nowhere.
    /// Metrics count the commands of one router: those of a second one, with other commands, are not counted.
    /// *Costs*: an add a command; see [`timed`](super::Router::timed).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    /// use towline_middleware::{
    ///     BatchCodec, BoxError, ConcurrencyLimitLayer, Echo, FramedTransport, Semaphore, TimeoutLayer,
    ///     protocol::Lf,
    ///     reply::Args,
    ///     router::Router,
    ///     serve::Serve,
    ///     session::{Conn, SessionResponder, SessionStack},
    ///     stats::{CommandResult, Stats},
    /// };
    /// # use std::sync::Arc;
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # use tower_service::Service;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
    /// let stats = Arc::new(Stats::of_one_thread(Instant::now()));
    /// let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(64)));
    /// let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(Duration::from_secs(5)), &limit);
    /// let router = Router::<Lf, ()>::new().command("PING", |_: &mut (), _: Args<'_>| "pong");
    /// let routes = router.build()?.counted_by(&stack);
    ///
    /// let (mut client, server) = tokio::io::duplex(64);
    /// client.write_all(b"ping\nPING\nwhat\n").await?;
    /// client.shutdown().await?;
    /// let session = SessionResponder::new(routes.session(()), Conn::new(None), stack);
    /// let mut serve = Serve::unboxed(Echo).stats(stats.clone()).one(session);
    /// serve.call(FramedTransport::new(server, BatchCodec::new(64))).await?;
    ///
    /// let commands = stats.commands().expect("they are counted").snapshot();
    /// assert_eq!((commands[0].command, commands[1].command), ("PING", "other"));
    /// assert_eq!(commands[0].results[CommandResult::Ok as usize], 2);
    /// assert_eq!(commands[1].results[CommandResult::Error as usize], 1);
    /// # Ok(()) }
    /// ```
    pub fn counted_by(&self, stack: &SessionStack) -> Self {
        let stats = stack.stats().count_commands(&self.table.counted());
        Self { table: self.table.clone(), stats }
    }

    /// A session of these commands, with `state` as its own.
    pub fn session(&self, state: S) -> Routed<P, S> {
        Routed { routes: self.clone(), state, unknown: 0 }
    }

    /// When a command of `route` begins, if it is timed.
    fn begin(&self, route: &Route<P, S>) -> Option<Nanos> {
        self.stats.as_ref().filter(|_| route.timed).map(|stats| stats.now())
    }

    /// Counts the command `number`, now or when its reply comes. Never inlined: the way of commands that are
    /// answered at once, without an error, is that of [`Routed::on_frame`].
    #[inline(never)]
    fn end(
        &self,
        number: usize,
        begun: Option<Nanos>,
        action: Action<P, S>,
        cx: &mut Cx<'_, P>,
    ) -> ActionOf<Routed<P, S>> {
        let result = cx.take_command_result();
        match &self.stats {
            None => action.lift(Routed::state),
            Some(stats) if begun.is_none() && matches!(action, Action::Continue) => {
                stats.count(number, result);
                Action::Continue
            }
            Some(stats) => {
                let command = PendingCommand { stats: stats.clone(), number, begun };
                action.lift_counted(Routed::state, command, result)
            }
        }
    }
}

/// What is made for each connection of a router: its state `S`, or a `Result` of it with [`Refused`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the router's state `{S}`",
    note = "return `{S}`, or `Result<{S}, Refused>`"
)]
pub trait IntoState<S> {
    /// The state, or why the connection gets none.
    #[doc(hidden)]
    fn into_state(self) -> Result<S, Refused>;
}

impl<S> IntoState<S> for S {
    fn into_state(self) -> Result<S, Refused> {
        Ok(self)
    }
}

impl<S> IntoState<S> for Result<S, Refused> {
    fn into_state(self) -> Self {
        self
    }
}

impl<P: Commands, S> Clone for Routes<P, S> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), stats: self.stats.clone() }
    }
}

impl<P: Commands, S> fmt::Debug for Routes<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("verbs", &self.table.verbs).finish_non_exhaustive()
    }
}

/// A session of a [`Router`](super::Router): the shared table, and the connection's state `S`. *Costs*: 24
/// bytes beside the state.
pub struct Routed<P: Commands, S> {
    routes: Routes<P, S>,
    state: S,
    /// Unknown verbs, for the router's limit.
    unknown: u32,
}

impl<P: Commands, S: Send + 'static> Routed<P, S> {
    const fn state(&mut self) -> &mut S {
        &mut self.state
    }

    /// Answers the timed command `number`.
    #[inline(never)]
    fn answer_timed(
        &mut self,
        number: usize,
        args: Args<'_>,
        cx: &mut Cx<'_, P>,
    ) -> ActionOf<Self> {
        let route = &self.routes.table.routes[number];
        let begun = self.routes.begin(route);
        let action = route.answer(&mut self.state, &args, cx);
        self.routes.end(number, begun, action, cx)
    }

    /// Answers a verb that is not in the table.
    #[cold]
    fn answer_unknown(&mut self, args: Args<'_>, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        let table = &*self.routes.table;
        if args.verb().is_empty() {
            return Action::Continue;
        }
        let begun = table.fallback.as_ref().and_then(|route| self.routes.begin(route));
        let action = if table.bogus_max.is_some_and(|max| self.unknown >= max) {
            cx.reply(ReplyError::new("too many unknown commands").fatal())
        } else {
            self.unknown = self.unknown.saturating_add(1);
            match &table.fallback {
                Some(route) => route.answer(&mut self.state, &args, cx),
                None => cx.reply(unknown(args.verb())),
            }
        };
        self.routes.end(table.other, begun, action, cx)
    }
}

impl<P: Commands, S: Send + 'static> Session for Routed<P, S> {
    type Protocol = P;

    fn overlap(&self) -> Overlap {
        self.routes.table.overlap
    }

    fn on_open(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.table.hooks.on_open {
            Some(hook) => hook(&mut self.state, cx).lift(Self::state),
            None => Action::Continue,
        }
    }

    #[inline]
    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        let table = &*self.routes.table;
        let args = match &table.split {
            None => P::args(frame),
            Some(split) => split.args(frame),
        };
        let Some(number) = table.verbs.find(args.verb()) else {
            return self.answer_unknown(args, cx);
        };
        let route = &table.routes[number];
        if route.timed {
            return self.answer_timed(number, args, cx);
        }
        let action = route.answer(&mut self.state, &args, cx);
        if !matches!(action, Action::Continue) || cx.has_failed() {
            return self.routes.end(number, None, action, cx);
        }
        if let Some(stats) = &self.routes.stats {
            stats.count(number, CommandResult::Ok);
        }
        Action::Continue
    }

    fn on_body(&mut self, piece: &[u8], last: bool, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.table.hooks.on_body {
            Some(hook) => hook(&mut self.state, piece, last, cx).lift(Self::state),
            None => Action::Continue,
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.table.hooks.on_timer {
            Some(hook) => hook(&mut self.state, cx).lift(Self::state),
            None => Action::Continue,
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.table.hooks.on_drain {
            Some(hook) => hook(&mut self.state, cx).lift(Self::state),
            None => Action::Close,
        }
    }

    fn on_close(self, reason: CloseReason) {
        if let Some(hook) = &self.routes.table.hooks.on_close {
            hook(self.state, reason);
        }
    }
}

impl<P: Commands, S> fmt::Debug for Routed<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed").field("routes", &self.routes).finish_non_exhaustive()
    }
}

fn unknown(verb: &[u8]) -> ReplyError {
    ReplyError::owned(format!("unknown command '{}'", shown_verb(verb)))
}
