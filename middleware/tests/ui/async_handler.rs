//! A handler is called with borrowed arguments, so it cannot be a future.
use towline_middleware::{protocol::Lf, reply::Args, router::Router};

struct State;

async fn get(_: &mut State, _: Args<'_>) -> &'static str {
    "value"
}

fn main() {
    let _ = Router::<Lf, State>::new().command("GET", get);
}
