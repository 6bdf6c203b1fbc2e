//! How bytes become lines.
//!
//! Two codecs with the same item, [`Lines`](crate::Lines), so that everything above is the same:
//!
//! - [`LinesBatchCodec`]: all complete lines of a read at once; bytes opaque. The default.
//! - [`Utf8LinesCodec`]: drives tokio-util's own `LinesCodec`, a UTF-8 `String` a line, and packs what one
//!   read gave into a batch. It costs some 15 times more a line, and is the oracle in tests.
//!
//! Any other tokio-util `Decoder` and `Encoder` of `Lines` drives the same
//! [`FramedTransport`](crate::FramedTransport).

mod batch;
mod error;
mod limits;
pub(crate) mod scan;
mod utf8_lines;

pub use batch::LinesBatchCodec;
pub use error::LineError;
pub use limits::{LINES_MAX, LineLimits};
pub use utf8_lines::Utf8LinesCodec;
