//! What is set for the command that was named last.

use std::time::Duration;

use super::{Router, route::Route};
use crate::reply::Commands;

/// What a router named last.
#[derive(Clone, Copy)]
pub(super) enum Last {
    Nothing,
    Command,
    Fallback,
}

/// Settings of the command named last.
impl<P: Commands, S: Send + 'static> Router<P, S> {
    /// Lets the deferred replies of the command named last wait for at most `timeout`, unless they have a
    /// timeout of their own. Default: `timeouts.request`.
    pub fn within(self, timeout: Duration) -> Self {
        self.set("within", |route| route.within = Some(timeout))
    }

    /// Exports how long the command named last takes, as `towline_command_duration_seconds`: from the call with
    /// its frame to its reply, what it waits for included. Default: commands are counted, and not timed.
    ///
    /// A reply in parts ends with its last one, which is asked for when the peer has taken those before it.
    /// *Costs*: two clock readings a command (20 to 40 ns each), and an allocation for a reply in parts.
    ///
    /// ```
    /// use towline_middleware::{protocol::Lf, reply::Args, router::Router};
    ///
    /// let router = Router::<Lf, ()>::new()
    ///     .command("PING", |_: &mut (), _: Args<'_>| "pong")
    ///     .command("SORT", |_: &mut (), args: Args<'_>| {
    ///         let mut words: Vec<_> = args.iter().map(<[u8]>::to_vec).collect();
    ///         words.sort();
    ///         words
    ///     })
    ///     .timed();
    /// # drop(router);
    /// ```
    pub fn timed(self) -> Self {
        self.set("timed", |route| route.timed = true)
    }

    /// Changes the command named last.
    fn set(mut self, setting: &'static str, change: impl FnOnce(&mut Route<P, S>)) -> Self {
        let last = match self.last {
            Last::Nothing => None,
            Last::Command => self.routes.last_mut(),
            Last::Fallback => self.fallback.as_mut(),
        };
        match last {
            Some(route) => change(route),
            None => self.misplaced = Some(setting),
        }
        self
    }
}
