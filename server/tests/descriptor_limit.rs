//! The descriptor limit of the process, which is its program's. One test: the limit is one for all.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::convert::Infallible;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use towline::{Builder, Lines, Running, Server, service_fn};

const LOWERED: u64 = 200;

fn start(builder: Builder) -> Running {
    let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    builder.listen("127.0.0.1:0").threads(1).serve(echo).start().unwrap()
}

fn soft_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// A server raised the limit of the program it was part of, unasked.
#[test]
fn the_descriptor_limit_is_raised_only_on_request() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(LOWERED), maximum: hard }).unwrap();

    let _running = start(Server::builder());
    assert_eq!(soft_limit(), Some(LOWERED));
    let too_many = Server::builder().connections(LOWERED as u32);
    let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    let error = too_many.listen("127.0.0.1:0").serve(echo).start().unwrap_err();
    assert!(error.to_string().contains("the descriptor limit is 200"), "{error}");

    let _running = start(Server::builder().raise_descriptor_limit(true));
    assert_eq!(soft_limit(), hard);
}
