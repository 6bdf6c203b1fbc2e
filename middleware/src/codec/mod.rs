//! How bytes become batches of frames, and of lines in particular.
//!
//! - [`BatchCodec`]: all whole frames of a read at once, for any [`Protocol`](crate::protocol::Protocol).
//! - [`LinesBatchCodec`]: the same for lines; bytes opaque. The default.
//! - [`Utf8LinesCodec`]: drives tokio-util's own `LinesCodec`, a UTF-8 `String` a line, and packs what one
//!   read gave into a batch. It costs some 15 times more a line, and is the oracle in tests.
//!
//! Any other tokio-util `Decoder` and `Encoder` of a [`Batch`](crate::Batch) drives the same
//! [`FramedTransport`](crate::FramedTransport).

mod batch;
mod client_hello;
mod error;
mod limits;
mod utf8_lines;

pub use batch::{BatchCodec, LinesBatchCodec};
pub use error::LineError;
pub use limits::{LINES_MAX, LineLimits};
pub use utf8_lines::Utf8LinesCodec;
