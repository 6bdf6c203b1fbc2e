//! The messages of a fan-out, and the protocols that carry them.

mod commands;
mod lines;
mod message;
mod nats;
mod resp;
mod wire;

pub(crate) use commands::Commands;
pub(crate) use message::{Format, MESSAGE_BYTES_MIN, Stamp, Wrong};
pub(crate) use wire::{FRAME_BYTES_MAX, Frame, Scan, Wire};
