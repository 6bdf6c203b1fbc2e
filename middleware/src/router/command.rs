//! A command of one's own memory, for services.

use std::fmt;

use bytes::{Bytes, BytesMut};
use tower::util::ServiceExt;
use tower_service::Service;

use crate::{
    reply::{Args, Commands, IntoReply, ReplyError, Syntax},
    session::{Conn, Cx, Deferred},
};

/// A command in memory of its own: what [`Router::service`](super::Router::service) calls its service with.
pub struct Command<P: Commands> {
    conn: Conn<P>,
    verb: Bytes,
    rest: Bytes,
    syntax: Syntax,
    body: Option<Bytes>,
}

impl<P: Commands> Command<P> {
    fn new(args: Args<'_>, conn: Conn<P>) -> Self {
        let (verb, rest, syntax) = args.into_parts();
        let (body_bytes, has_body) = (args.body().unwrap_or_default(), args.body().is_some());
        let mut bytes = BytesMut::with_capacity(verb.len() + rest.len() + body_bytes.len());
        bytes.extend_from_slice(verb);
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(body_bytes);
        let mut bytes = bytes.freeze();
        let (verb, rest) = (bytes.split_to(verb.len()), bytes.split_to(rest.len()));
        Self { conn, verb, rest, syntax, body: has_body.then_some(bytes) }
    }

    /// The connection that the command came on.
    pub const fn conn(&self) -> &Conn<P> {
        &self.conn
    }

    /// The verb and the arguments.
    pub fn args(&self) -> Args<'_> {
        let args = Args::from_parts(&self.verb, &self.rest, self.syntax);
        match &self.body {
            Some(body) => args.with_body(body),
            None => args,
        }
    }
}

impl<P: Commands> Clone for Command<P> {
    fn clone(&self) -> Self {
        let Self { conn, verb, rest, syntax, body } = self;
        let (verb, rest, body) = (verb.clone(), rest.clone(), body.clone());
        Self { conn: conn.clone(), verb, rest, syntax: *syntax, body }
    }
}

impl<P: Commands> fmt::Debug for Command<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("conn", &self.conn).field("args", &self.args()).finish()
    }
}

/// A handler that calls clones of `service`.
pub(super) fn handler<P, S, V>(
    service: V,
) -> impl Fn(&mut S, Args<'_>, &mut Cx<'_, P>) -> Deferred<P, S> + Send + Sync + 'static
where
    P: Commands,
    S: Send + 'static,
    V: Service<Command<P>> + Clone + Send + Sync + 'static,
    V::Response: IntoReply<P, S> + Send + 'static,
    V::Error: Into<ReplyError>,
    V::Future: Send + 'static,
{
    move |_, args, cx| {
        let command = Command::new(args, cx.conn().clone());
        let call = service.clone().oneshot(command);
        Deferred::new(async move { call.await.map_err(Into::<ReplyError>::into) })
    }
}
