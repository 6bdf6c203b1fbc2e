//! What the limits and kernel parameters of a host mean for a number of connections.
//!
//! [`Facts`] are read once; [`rows`], [`prediction`] and [`fragment`] only compute, so that every
//! answer can be tested on the files of another host.
//!
//! ```
//! use towline_doctor::{Facts, Side, Target, Verdict, prediction, rows};
//!
//! let facts = Facts::read();
//! let target = Target::new(10_000, Side::Server, towline_config::Settings::default());
//! for row in rows(&facts, &target) {
//!     if row.verdict == Verdict::Fail {
//!         println!("{} is {:?}, needed {}: {}", row.name, row.value, row.need, row.why);
//!     }
//! }
//! println!("{}", prediction(&facts, &target).sentence(&target));
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("towline needs Linux 5.11 or later");

mod cost;
mod emit;
mod facts;
mod fix;
mod handshakes;
mod knobs;
mod predict;
mod row;
mod target;

pub use emit::{Form, fragment};
pub use facts::{Environment, Facts, Memory, Softnet, Sysctls, TcpUse};
pub use fix::Fix;
pub use handshakes::Handshakes;
pub use knobs::rows;
pub use predict::{Prediction, Wall, prediction};
pub use row::{Row, Scope, Verdict};
pub use target::{ProcessCount, Side, Target};
pub use towline_host::{Cgroup, CgroupCpu, CgroupMemory};

/// Formats a number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats bytes in the largest of KiB, MiB and GiB that fits.
fn bytes(number: u64) -> String {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match number {
        GIB.. => format!("{:.1} GiB", number as f64 / GIB as f64),
        MIB.. => format!("{} MiB", number / MIB),
        _ => format!("{} KiB", number.div_ceil(1024)),
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
