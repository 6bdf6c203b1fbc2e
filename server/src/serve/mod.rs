//! Connections served in the runtime of the program.

mod batch_service;
mod in_runtime;
mod service_fn;
mod session;
mod tasks;

pub use self::{batch_service::BatchService, service_fn::service_fn};
pub(crate) use self::{
    batch_service::embedded,
    in_runtime::{InRuntime, serve_in_runtime},
    session::responder,
};
