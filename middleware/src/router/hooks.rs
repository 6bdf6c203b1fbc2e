//! What is called beside commands.

use super::Router;
use crate::{
    reply::Commands,
    session::{Action, Cx},
    stats::CloseReason,
};

type Hook<P, S> = Box<dyn Fn(&mut S, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync>;
type BodyHook<P, S> =
    Box<dyn Fn(&mut S, &[u8], bool, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync>;
type CloseHook<S> = Box<dyn Fn(S, CloseReason) + Send + Sync>;

/// The hooks of a router.
pub(super) struct Hooks<P: Commands, S> {
    pub(super) on_open: Option<Hook<P, S>>,
    pub(super) on_body: Option<BodyHook<P, S>>,
    pub(super) on_timer: Option<Hook<P, S>>,
    pub(super) on_drain: Option<Hook<P, S>>,
    pub(super) on_close: Option<CloseHook<S>>,
}

impl<P: Commands, S> Default for Hooks<P, S> {
    fn default() -> Self {
        Self { on_open: None, on_body: None, on_timer: None, on_drain: None, on_close: None }
    }
}

/// Hooks of the connection.
impl<P: Commands, S: Send + 'static> Router<P, S> {
    /// Calls `hook` when the connection is open. A protocol whose server speaks first does so here.
    pub fn on_open<H>(mut self, hook: H) -> Self
    where
        H: Fn(&mut S, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync + 'static,
    {
        self.hooks.on_open = Some(Box::new(hook));
        self
    }

    /// Calls `hook` with each piece of a [`Body`](crate::session::Body) that a command asked for, and whether it is the
    /// last one.
    pub fn on_body<H>(mut self, hook: H) -> Self
    where
        H: Fn(&mut S, &[u8], bool, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync + 'static,
    {
        self.hooks.on_body = Some(Box::new(hook));
        self
    }

    /// Calls `hook` when the time that [`Cx::set_timer`] set has passed.
    pub fn on_timer<H>(mut self, hook: H) -> Self
    where
        H: Fn(&mut S, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync + 'static,
    {
        self.hooks.on_timer = Some(Box::new(hook));
        self
    }

    /// Calls `hook` when the server drains: last words may be said.
    pub fn on_drain<H>(mut self, hook: H) -> Self
    where
        H: Fn(&mut S, &mut Cx<'_, P>) -> Action<P, S> + Send + Sync + 'static,
    {
        self.hooks.on_drain = Some(Box::new(hook));
        self
    }

    /// Calls `hook` with the state when the connection has ended, exactly once for each.
    pub fn on_close<H>(mut self, hook: H) -> Self
    where
        H: Fn(S, CloseReason) + Send + Sync + 'static,
    {
        self.hooks.on_close = Some(Box::new(hook));
        self
    }
}
