//! A function that returns `impl Trait` must say what it does not borrow.
use towline_middleware::{
    protocol::Lf,
    reply::{Args, IntoReply},
    router::Router,
};

struct State;

fn get(_: &mut State, _: Args<'_>) -> impl IntoReply<Lf, State> {
    "value"
}

fn main() {
    let _ = Router::<Lf, State>::new().command("GET", get);
}
