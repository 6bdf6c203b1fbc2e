//! A table of commands, and a session of it.

use std::{fmt, sync::Arc, time::Duration};

use super::{Handler, split::Split, verbs::Verbs};
use crate::{
    reply::{Args, Commands, ReplyError},
    session::{Action, ActionOf, Cx, FrameOf, Refused, Session},
    stats::CloseReason,
};

/// Bytes of an unknown verb that its error shows.
const SHOWN_VERB_BYTES_MAX: usize = 64;

type Answer<P, S> = Box<dyn Fn(&mut S, Args<'_>, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync>;
type Hook<P, S> = Box<dyn Fn(&mut S, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync>;
type CloseHook<S> = Box<dyn Fn(S, CloseReason) + Send + Sync>;

/// What is asked before a command. Shared by the commands of a group.
pub(super) type Guard<P, S> =
    Arc<dyn Fn(&mut S, Args<'_>, &mut Cx<'_, P>) -> Result<(), ReplyError> + Send + Sync>;

/// A command's handler, and what surrounds it.
pub(super) struct Route<P: Commands, S> {
    answer: Answer<P, S>,
    guards: Box<[Guard<P, S>]>,
    pub(super) within: Option<Duration>,
}

impl<P: Commands, S> Route<P, S> {
    pub(super) fn new<M>(handler: impl Handler<P, S, M>, guards: &[Guard<P, S>]) -> Self {
        let answer = move |state: &mut S, args: Args<'_>, cx: &mut Cx<'_, P>| {
            handler.answer(state, args, cx)
        };
        Self { answer: Box::new(answer), guards: guards.into(), within: None }
    }

    #[inline]
    fn answer(&self, state: &mut S, args: Args<'_>, cx: &mut Cx<'_, P>) -> Action<P, S> {
        for guard in &self.guards {
            if let Err(error) = guard(state, args, cx) {
                return cx.reply(error);
            }
        }
        match (self.answer)(state, args, cx) {
            Action::Deferred(deferred) => Action::Deferred(deferred.or_within(self.within)),
            action => action,
        }
    }
}

/// What is called beside commands.
pub(super) struct Hooks<P: Commands, S> {
    pub(super) on_open: Option<Hook<P, S>>,
    pub(super) on_timer: Option<Hook<P, S>>,
    pub(super) on_drain: Option<Hook<P, S>>,
    pub(super) on_close: Option<CloseHook<S>>,
}

impl<P: Commands, S> Default for Hooks<P, S> {
    fn default() -> Self {
        Self { on_open: None, on_timer: None, on_drain: None, on_close: None }
    }
}

/// The table of a [`Router`](super::Router), checked. A clone is a reference count.
pub struct Routes<P: Commands, S>(Arc<Table<P, S>>);

/// What a [`Router`](super::Router) holds when it is built.
pub(super) struct Table<P: Commands, S> {
    pub(super) verbs: Verbs,
    /// By the number of the verb.
    pub(super) routes: Box<[Route<P, S>]>,
    pub(super) fallback: Option<Route<P, S>>,
    pub(super) hooks: Hooks<P, S>,
    pub(super) bogus_max: Option<u32>,
    pub(super) split: Option<Box<dyn Split<P>>>,
}

impl<P: Commands, S: Send + 'static> Routes<P, S> {
    pub(super) fn new(table: Table<P, S>) -> Self {
        Self(Arc::new(table))
    }

    /// A session of these commands, with `state` as its own.
    pub fn session(&self, state: S) -> Routed<P, S> {
        Routed { routes: self.clone(), state, unknown: 0 }
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
        Self(self.0.clone())
    }
}

impl<P: Commands, S> fmt::Debug for Routes<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("verbs", &self.0.verbs).finish_non_exhaustive()
    }
}

/// A session of a [`Router`](super::Router): the shared table, and the connection's state `S`. *Costs*: 16
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

    /// Answers a verb that is not in the table.
    #[cold]
    fn answer_unknown(&mut self, args: Args<'_>, cx: &mut Cx<'_, P>) -> Action<P, S> {
        let table = &*self.routes.0;
        if args.verb().is_empty() {
            return Action::Continue;
        }
        if table.bogus_max.is_some_and(|max| self.unknown >= max) {
            return cx.reply(ReplyError::new("too many unknown commands").fatal());
        }
        self.unknown = self.unknown.saturating_add(1);
        match &table.fallback {
            Some(route) => route.answer(&mut self.state, args, cx),
            None => cx.reply(unknown(args.verb())),
        }
    }
}

impl<P: Commands, S: Send + 'static> Session for Routed<P, S> {
    type Protocol = P;

    fn on_open(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.0.hooks.on_open {
            Some(hook) => hook(&mut self.state, cx).lift(Self::state),
            None => Action::Continue,
        }
    }

    #[inline]
    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        let table = &*self.routes.0;
        let args = match &table.split {
            None => P::args(frame),
            Some(split) => split.args(frame),
        };
        let action = match table.verbs.find(args.verb()) {
            Some(number) => table.routes[number].answer(&mut self.state, args, cx),
            None => self.answer_unknown(args, cx),
        };
        action.lift(Self::state)
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.0.hooks.on_timer {
            Some(hook) => hook(&mut self.state, cx).lift(Self::state),
            None => Action::Continue,
        }
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match &self.routes.0.hooks.on_drain {
            Some(hook) => hook(&mut self.state, cx).lift(Self::state),
            None => Action::Close,
        }
    }

    fn on_close(self, reason: CloseReason) {
        if let Some(hook) = &self.routes.0.hooks.on_close {
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
    let shown = &verb[..verb.len().min(SHOWN_VERB_BYTES_MAX)];
    ReplyError::owned(format!("unknown command '{}'", shown.escape_ascii()))
}
