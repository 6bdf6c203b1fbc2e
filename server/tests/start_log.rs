//! What a library server logs. One test, because the subscriber is the whole process's: with one of a
//! thread alone, a test beside it could register the event's callsite first, with no subscriber.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use towline::{Lines, Server, service_fn};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// A subscriber that keeps each event as a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Fields<'a>(&'a mut String);
        impl Visit for Fields<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut log = self.0.lock().unwrap();
        event.record(&mut Fields(&mut log));
        log.push('\n');
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A library server said nothing at start, not even at the level `trace`.
#[test]
fn a_start_is_logged() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let service = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    let running =
        Server::builder().listen("127.0.0.1:0").threads(1).serve(service).start().unwrap();
    let written = log.0.lock().unwrap().clone();
    let address = running.address().unwrap();
    assert!(written.contains(&format!("message=serving address={address} ")), "{written}");
    assert!(written.contains("threads=1 "), "{written}");
    assert!(!written.contains("workload"), "the service is the caller's: {written}");
}
