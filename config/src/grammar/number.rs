//! Numbers within bounds: counts, sizes, times.

use std::{num::NonZeroU32, time::Duration};

use towline_units::{parse_count, parse_duration, parse_size, print_duration, print_size};

use super::Grammar;
use crate::{error::ValueError, value::Value};

/// An integer type of a setting.
pub(crate) trait Number: Copy {
    fn from_u64(number: u64) -> Option<Self>;
    fn to_u64(self) -> u64;
}

impl Number for u32 {
    fn from_u64(number: u64) -> Option<Self> {
        number.try_into().ok()
    }

    fn to_u64(self) -> u64 {
        self.into()
    }
}

impl Number for usize {
    fn from_u64(number: u64) -> Option<Self> {
        number.try_into().ok()
    }

    fn to_u64(self) -> u64 {
        self as u64
    }
}

impl Number for NonZeroU32 {
    fn from_u64(number: u64) -> Option<Self> {
        u32::from_u64(number).and_then(Self::new)
    }

    fn to_u64(self) -> u64 {
        self.get().into()
    }
}

/// A whole number.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl<T: Number> Grammar<T> for Count {
    fn parse(&self, text: &str) -> Result<T, ValueError> {
        let number = parse_count(text)?;
        let (min, max) = (u64::from(self.min), u64::from(self.max));
        within(number, min, max, |bound| bound.to_string())?;
        T::from_u64(number).ok_or(ValueError::TOO_LARGE)
    }

    fn print(&self, value: &T) -> Value {
        Value::Number(value.to_u64())
    }

    fn expected(&self) -> String {
        let examples = if self.max < 10_000 { "" } else { ", such as 10000 or 10k" };
        format!("a whole number from {} to {}{examples}", self.min, self.max)
    }

    fn placeholder(&self) -> String {
        "NUMBER".into()
    }
}

/// A number of bytes.
#[derive(Debug)]
pub(crate) struct Size {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl<T: Number> Grammar<T> for Size {
    fn parse(&self, text: &str) -> Result<T, ValueError> {
        let bytes = parse_size(text)?;
        within(bytes, self.min, self.max, print_size)?;
        T::from_u64(bytes).ok_or(ValueError::TOO_LARGE)
    }

    fn print(&self, value: &T) -> Value {
        Value::text(print_size(value.to_u64()))
    }

    fn expected(&self) -> String {
        let (min, max) = (print_size(self.min), print_size(self.max));
        format!(
            "a size from {min} to {max}, such as 64KiB or 65536 \
             (units B, KiB, MiB, GiB, KB, MB, GB)"
        )
    }

    fn placeholder(&self) -> String {
        "SIZE".into()
    }
}

/// A length of time, a multiple of `step`.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) max: Duration,
    /// The resolution of whatever measures the time, and the shortest that is accepted.
    pub(crate) step: Duration,
    /// What `step` is one of.
    pub(crate) unit: &'static str,
}

impl Grammar<Duration> for Time {
    fn parse(&self, text: &str) -> Result<Duration, ValueError> {
        let time = parse_duration(text)?;
        within(time, self.step, self.max, print_duration)?;
        if !time.as_nanos().is_multiple_of(self.step.as_nanos()) {
            return Err(ValueError::new(format!("is not a whole number of {}", self.unit)));
        }
        Ok(time)
    }

    fn print(&self, value: &Duration) -> Value {
        Value::text(print_duration(*value))
    }

    fn expected(&self) -> String {
        let (min, max) = (print_duration(self.step), print_duration(self.max));
        format!("a duration from {min} to {max}, such as 5s (units ms, s, m, h, d)")
    }

    fn placeholder(&self) -> String {
        "DURATION".into()
    }
}

/// Checks bounds, and names the one that is broken. A value of zero gets a sentence of its own.
fn within<T: PartialOrd + Copy + Default>(
    value: T,
    min: T,
    max: T,
    print: impl Fn(T) -> String,
) -> Result<(), ValueError> {
    if value == T::default() && min > T::default() {
        return Err(ValueError::new("is zero"));
    }
    if value < min {
        return Err(ValueError::new(format!("is less than {}", print(min))));
    }
    if value > max {
        return Err(ValueError::new(format!("is more than {}", print(max))));
    }
    Ok(())
}
