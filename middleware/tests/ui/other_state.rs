//! The state of a handler is that of its router.
use towline_middleware::{protocol::Lf, reply::Args, router::Router};

struct State;
struct Other;

fn get(_: &mut Other, _: Args<'_>) -> &'static str {
    "value"
}

fn main() {
    let _ = Router::<Lf, State>::new().command("GET", get);
}
