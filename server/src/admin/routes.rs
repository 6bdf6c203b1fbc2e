use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue},
};

use super::{Context, StatusSource, format::Format};
use crate::lifecycle::Stage;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Draws `/metrics`, with a script of its own and nothing from elsewhere.
const LIVE_PAGE: &str = include_str!("live.html");

/// So that the page cannot load anything from elsewhere either.
const LIVE_PAGE_MAY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src \
     'unsafe-inline'; img-src data:; connect-src 'self'; frame-ancestors 'none'";

/// Answers one request; hyper leaves the body out for HEAD.
pub(super) async fn answer(
    context: &Context<impl StatusSource>,
    request: &Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "expected GET or HEAD\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    let state = context.source.state();
    let lifecycle = &state.lifecycle;
    Ok(match request.uri().path() {
        "/" => {
            let mut page = reply(StatusCode::OK, HTML, LIVE_PAGE);
            let may = HeaderValue::from_static(LIVE_PAGE_MAY);
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, may);
            page
        }
        "/metrics" => {
            let format = Format::wanted(request.headers());
            reply(StatusCode::OK, format.content_type(), format.of(context.metrics().await))
        }
        "/healthz" => reply(StatusCode::OK, TEXT, "alive\n"),
        "/readyz" if lifecycle.is(Stage::Accepting) => reply(StatusCode::OK, TEXT, "accepting\n"),
        "/readyz" if lifecycle.is(Stage::Draining) => {
            reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n")
        }
        "/readyz" => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "starting\n"),
        "/config" => reply(StatusCode::OK, JSON, state.effective().to_json().to_string()),
        _ => reply(
            StatusCode::NOT_FOUND,
            TEXT,
            "expected /, /metrics, /healthz, /readyz or /config\n",
        ),
    })
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
