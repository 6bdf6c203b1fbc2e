//! A `char` is no reply.
use towline_middleware::{protocol::Lf, reply::Args, router::Router};

struct State;

fn get(_: &mut State, _: Args<'_>) -> char {
    'x'
}

fn main() {
    let _ = Router::<Lf, State>::new().command("GET", get);
}
