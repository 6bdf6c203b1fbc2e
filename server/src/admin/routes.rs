//! The paths of the admin endpoint and their answers.

use std::sync::Arc;

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue},
};

use super::{Context, StatusSource, access::Access, commands, format::Format};
use crate::{control::stats, lifecycle::Stage};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// A page that draws `/metrics` and `/connections`. It loads nothing else.
const LIVE_PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
     <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
     <title>towline</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n",
    include_str!("live/live.css"),
    "</style>\n",
    include_str!("live/live.html"),
    "<script>\n'use strict';\n",
    include_str!("live/format.js"),
    include_str!("live/metrics.js"),
    include_str!("live/trouble.js"),
    include_str!("live/connections.js"),
    include_str!("live/program.js"),
    include_str!("live/live.js"),
    "</script>\n</html>\n",
);

/// Has the browser enforce that the live page loads nothing from elsewhere.
const LIVE_PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src \
     'unsafe-inline'; img-src data:; connect-src 'self'; frame-ancestors 'none'";

/// Answers one request. For HEAD, hyper leaves the body out.
pub(super) async fn answer<S: StatusSource>(
    context: &Arc<Context<S>>,
    access: Access,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    if let Some(refusal) = access.refuse_all() {
        return Ok(refusal);
    }
    if let Some(command) = commands::named_by(request.uri().path()) {
        return Ok(commands::answer(context, access, command, request).await);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(not_allowed("GET, HEAD", "expected GET or HEAD\n"));
    }
    let state = context.source.state();
    let lifecycle = &state.lifecycle;
    Ok(match request.uri().path() {
        "/" => {
            let mut page = reply(StatusCode::OK, HTML, LIVE_PAGE);
            let policy = HeaderValue::from_static(LIVE_PAGE_POLICY);
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            page
        }
        "/metrics" => {
            let format = Format::wanted(request.headers());
            let page = context.metrics.page(&context.source, format).await;
            reply(StatusCode::OK, format.content_type(), page)
        }
        "/connections" => {
            match context.connections.page(&context.source, request.uri().query()).await {
                Ok(page) => reply(StatusCode::OK, JSON, page),
                Err(why) => reply(StatusCode::BAD_REQUEST, TEXT, format!("{why}\n")),
            }
        }
        "/healthz" => reply(StatusCode::OK, TEXT, "alive\n"),
        "/readyz" if lifecycle.is(Stage::Accepting) => {
            if !context.source.is_served() {
                reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no worker\n")
            } else if state.is_full() && !state.effective().settings.server.ready_when_full {
                reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "full\n")
            } else {
                reply(StatusCode::OK, TEXT, "accepting\n")
            }
        }
        "/readyz" if lifecycle.is(Stage::Draining) => {
            reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n")
        }
        "/readyz" => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "starting\n"),
        "/ctl/stats" => {
            let snapshot = context.source.snapshot().await;
            reply(StatusCode::OK, JSON, stats::json(state, &snapshot).to_string() + "\n")
        }
        "/config" => reply(StatusCode::OK, JSON, state.effective().to_json().to_string()),
        _ => reply(
            StatusCode::NOT_FOUND,
            TEXT,
            "expected /, /metrics, /connections, /healthz, /readyz, /config or /ctl/stats\n",
        ),
    })
}

/// The refusal of a method, with those that are expected.
pub(super) fn not_allowed(expected: &'static str, sentence: &'static str) -> Response<Full<Bytes>> {
    let mut refusal = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, sentence);
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(expected));
    refusal
}

pub(super) fn reply(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
