//! `towline_doctor`: from the files of a host to rows, walls and fixes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod emit;
mod facts;
mod limits;
mod prediction;
mod rows;
mod tls;
mod tree;
