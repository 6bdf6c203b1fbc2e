//! The HTTP of commands: `POST /ctl/NAME` with a JSON object.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
};

use super::{
    Context, StatusSource,
    access::Access,
    routes::{JSON, TEXT, not_allowed, reply},
};
use crate::{
    connections::Filter,
    control::{BODY_BYTES_MAX, Command, Matching, Refusal, Refused, Target},
};

/// The command that a path names, if it is that of a command: `None` within for one that is unknown.
/// Figures are no command.
pub(super) fn named_by(path: &str) -> Option<Option<Command>> {
    path.strip_prefix("/ctl/").filter(|name| *name != "stats").map(Command::find)
}

/// Answers one command.
pub(super) async fn answer<S: StatusSource>(
    context: &Arc<Context<S>>,
    access: Access,
    command: Option<Command>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let Some(command) = command else {
        let sentence = format!("expected /ctl/ and one of {} or stats\n", Command::names());
        return reply(StatusCode::NOT_FOUND, TEXT, sentence);
    };
    if *request.method() != Method::POST {
        return not_allowed("POST", "a command is sent by POST\n");
    }
    if let Some(refusal) = access.refuse_command(request.headers(), context.token.as_ref()) {
        return refusal;
    }
    let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_too_long_or_gone) => {
            let sentence =
                format!("the body is longer than {BODY_BYTES_MAX} bytes, or incomplete\n");
            return reply(StatusCode::PAYLOAD_TOO_LARGE, TEXT, sentence);
        }
    };
    // In a task of its own: a command that was begun is executed, also if its client leaves meanwhile.
    let context = context.clone();
    let executed = tokio::spawn(async move { command.run(&context, &body).await }).await;
    match executed {
        Ok(Ok(answer)) => reply(StatusCode::OK, JSON, answer.to_string() + "\n"),
        Ok(Err(Refused { kind, sentence })) => reply(status(kind), TEXT, sentence + "\n"),
        Err(_panicked) => {
            reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the command panicked; see the log\n")
        }
    }
}

const fn status(kind: Refusal) -> StatusCode {
    match kind {
        Refusal::Invalid => StatusCode::BAD_REQUEST,
        Refusal::Conflict => StatusCode::CONFLICT,
        Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl<S: StatusSource> Target for Context<S> {
    type Server = S;

    fn server(&self) -> &S {
        &self.source
    }

    async fn find(&self, filter: &Filter) -> Matching {
        self.connections.find(&self.source, filter).await
    }
}
