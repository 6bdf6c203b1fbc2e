#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!("towline needs Linux 5.11 or later");

mod clock;
mod counters;
mod error;
mod event_loop;
mod fanout;
mod histogram;
mod host;
mod interrupt;
mod job;
mod message;
mod plan;
mod report;
mod run;
mod tls;

pub use counters::{BadClientCounters, Counters};
pub use error::LoadError;
pub use histogram::Hist;
pub use interrupt::interrupt_on_signals;
pub use message::Message;
pub use plan::{
    BehaviorGroup, ClientBehavior, Fanout, FanoutPace, FanoutProtocol, InFlightLimit, Mode, Plan,
    ProxyHeader, SourceAddrs, TargetAddr, TlsClientFiles, TlsPlan, TlsTrust, TlsVersion,
};
pub use report::*;
pub use run::{Progress, RunOptions, WorkerProgram, run, serve_as_worker};
