//! What a handler changes is the state of its connection, not a variable of its own.
use towline_middleware::{protocol::Lf, reply::Args, router::Router};

fn main() {
    let mut count = 0;
    let _ = Router::<Lf, ()>::new().command("NEXT", move |_: &mut (), _: Args<'_>| {
        count += 1;
        count
    });
}
