//! Numbers within bounds: counts, sizes, times.

use std::{num::NonZeroU32, time::Duration};

use super::Grammar;
use crate::{
    error::Problem,
    units::{parse_count, parse_size, parse_time, print_size, print_time},
    value::Value,
};

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

/// How many of something.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl<T: Number> Grammar<T> for Count {
    fn parse(&self, text: &str) -> Result<T, Problem> {
        let number = parse_count(text)?;
        let (min, max) = (u64::from(self.min), u64::from(self.max));
        within(number, min, max, |bound| bound.to_string())?;
        T::from_u64(number).ok_or(Problem::TOO_LARGE)
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
    fn parse(&self, text: &str) -> Result<T, Problem> {
        let bytes = parse_size(text)?;
        within(bytes, self.min, self.max, print_size)?;
        T::from_u64(bytes).ok_or(Problem::TOO_LARGE)
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
    /// The finest the system can do, and the shortest taken.
    pub(crate) step: Duration,
}

impl Grammar<Duration> for Time {
    fn parse(&self, text: &str) -> Result<Duration, Problem> {
        let time = parse_time(text)?;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        within(milliseconds(time), milliseconds(self.step), milliseconds(self.max), |bound| {
            print_time(Duration::from_millis(bound))
        })?;
        if !time.as_millis().is_multiple_of(self.step.as_millis()) {
            return Err(Problem::new("is not a whole number of seconds"));
        }
        Ok(time)
    }

    fn print(&self, value: &Duration) -> Value {
        Value::text(print_time(*value))
    }

    fn expected(&self) -> String {
        let (min, max) = (print_time(self.step), print_time(self.max));
        format!("a duration from {min} to {max}, such as 5s (units ms, s, m, h)")
    }

    fn placeholder(&self) -> String {
        "DURATION".into()
    }
}

/// The bound that is broken is named, and zero by its name.
fn within(number: u64, min: u64, max: u64, print: impl Fn(u64) -> String) -> Result<(), Problem> {
    if number == 0 && min > 0 {
        return Err(Problem::new("is zero"));
    }
    if number < min {
        return Err(Problem::new(format!("is less than {}", print(min))));
    }
    if number > max {
        return Err(Problem::new(format!("is more than {}", print(max))));
    }
    Ok(())
}
