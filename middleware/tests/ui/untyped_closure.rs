//! The compiler must be told the types of a closure's arguments.
use towline_middleware::{protocol::Lf, router::Router};

fn main() {
    let _ = Router::<Lf, ()>::new().command("NEXT", |_, _| "value");
}
