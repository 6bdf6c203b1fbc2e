#![doc = include_str!("../README.md")]

mod count;
mod duration;
mod error;
pub mod human;
mod number;
mod rate;
mod size;

pub use count::parse_count;
pub use duration::{DURATION_MAX, parse_duration, print_duration};
pub use error::ParseError;
pub use rate::{RATE_MAX, parse_number, parse_rate};
pub use size::{parse_size, print_size};
