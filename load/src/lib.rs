//! Load generator for raw TCP lines.
//!
//! A [`Plan`] says what to do; [`run`] does it and returns a [`Report`]. The generator has an event loop
//! of its own on epoll, one per thread, sends from shared read-only blocks, and compares every reply
//! with what is expected by slices, so that telling the truth costs little.
//!
//! It does not know the server it is pointed at: only lines, and the few lines a towline server says
//! by itself (`ping`, `ERR …`).

mod clock;
mod counters;
mod error;
mod event_loop;
mod histogram;
mod host;
mod interrupt;
mod job;
mod message;
mod plan;
mod report;
mod run;

pub use counters::{BadClientCounters, Counters};
pub use error::LoadError;
pub use histogram::Hist;
pub use interrupt::interrupt_on_signals;
pub use message::Message;
pub use plan::{BehaviorGroup, ClientBehavior, InFlightLimit, Mode, Plan, SourceAddrs, TargetAddr};
pub use report::*;
pub use run::{Progress, RunOptions, WorkerProgram, run, serve_as_worker};
