//! One command.

use std::{sync::Arc, time::Duration};

use super::Handler;
use crate::{
    reply::{Args, Commands, ReplyError},
    session::{Action, Cx},
};

type Answer<P, S> = Box<dyn Fn(&mut S, &Args<'_>, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync>;

/// What is asked before a command. Shared by the commands of a group.
pub(super) type Guard<P, S> =
    Arc<dyn Fn(&mut S, Args<'_>, &mut Cx<'_, P>) -> Result<(), ReplyError> + Send + Sync>;

/// A command's handler, and what surrounds it.
pub(super) struct Route<P: Commands, S> {
    answer: Answer<P, S>,
    guards: Box<[Guard<P, S>]>,
    pub(super) within: Option<Duration>,
    pub(super) timed: bool,
}

impl<P: Commands, S> Route<P, S> {
    pub(super) fn new<M>(handler: impl Handler<P, S, M>, guards: &[Guard<P, S>]) -> Self {
        let answer = move |state: &mut S, args: &Args<'_>, cx: &mut Cx<'_, P>| {
            handler.answer(state, *args, cx)
        };
        Self { answer: Box::new(answer), guards: guards.into(), within: None, timed: false }
    }

    #[inline]
    pub(super) fn answer(
        &self,
        state: &mut S,
        args: &Args<'_>,
        cx: &mut Cx<'_, P>,
    ) -> Action<P, S> {
        for guard in &self.guards {
            if let Err(error) = guard(state, *args, cx) {
                return cx.reply(error);
            }
        }
        match (self.answer)(state, args, cx) {
            Action::Deferred(deferred) => Action::Deferred(deferred.or_within(self.within)),
            action => action,
        }
    }
}
