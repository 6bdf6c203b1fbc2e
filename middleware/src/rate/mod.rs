//! Rates: how often something may happen.
//!
//! | type | limits | where |
//! |---|---|---|
//! | [`Quota`] | one connection, in its own state | a session, or a guard of a [`Router`](crate::router::Router) |
//! | [`Quotas`] | each key of many: an address, a user | shared by all connections and threads |
//! | [`Throttle`] | the frames and bytes that connections have together, by their addresses | the serving loop: [`Serve::throttle`](crate::serve::Serve::throttle) |
//! | [`RateLayer`] | the frames of a connection, before a service of batches | outermost of the program's own layers |
//!
//! The first two and the last are the *generic cell rate algorithm* of ITU-T I.371 and the ATM Forum's Traffic Management
//! Specification: what is stored is the time at which the quota is full again, so no timer refills it, and
//! a quota that is not used costs nothing. It admits the same as a bucket of `burst` tokens into which one
//! falls per interval.

mod gcra;
mod layer;
mod pace;
mod quota;
mod quotas;
mod throttle;

pub use self::{
    layer::{Excess, Rate, RateLayer},
    quota::Quota,
    quotas::Quotas,
    throttle::Throttle,
};
