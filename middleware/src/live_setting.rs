//! A layer's parameter that may be turned while connections use it.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What a [`LiveSetting`] can stand at: anything that 64 bits tell apart.
pub trait AtomicRepr: Copy {
    /// Written down.
    fn to_bits(self) -> u64;
    /// Read again.
    fn from_bits(bits: u64) -> Self;
}

/// A parameter that layers look at whenever they need it, and that somebody else may turn.
///
/// Shared by the connections of a shard behind an `Arc`, so that a changed setting reaches those
/// that are open. *Costs*: a relaxed load of memory that is hardly ever written. Whoever turns
/// several dials at once does so on the thread whose connections look at them: then no connection
/// sees half of the change.
pub struct LiveSetting<T> {
    bits: AtomicU64,
    value: PhantomData<fn() -> T>,
}

impl<T: AtomicRepr> LiveSetting<T> {
    /// One that stands at `position`.
    pub fn new(value: T) -> Self {
        Self { bits: AtomicU64::new(value.to_bits()), value: PhantomData }
    }

    /// Where it stands.
    #[inline]
    pub fn load(&self) -> T {
        T::from_bits(self.bits.load(Relaxed))
    }

    /// Where it stands now, to be looked at later or never.
    #[inline]
    pub(crate) fn load_raw(&self) -> RawSetting<T> {
        RawSetting { bits: self.bits.load(Relaxed), value: PhantomData }
    }

    /// Turns it.
    pub fn store(&self, value: T) {
        self.bits.store(value.to_bits(), Relaxed);
    }
}

/// Where a dial stood. Half the size of what it may be, and made without arithmetic.
#[derive(Debug)]
pub(crate) struct RawSetting<T> {
    bits: u64,
    value: PhantomData<fn() -> T>,
}

impl<T: AtomicRepr> RawSetting<T> {
    pub(crate) fn decode(&self) -> T {
        T::from_bits(self.bits)
    }
}

impl<T: AtomicRepr + fmt::Debug> fmt::Debug for LiveSetting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

impl AtomicRepr for usize {
    fn to_bits(self) -> u64 {
        self as u64
    }

    fn from_bits(bits: u64) -> Self {
        Self::try_from(bits).unwrap_or(Self::MAX)
    }
}

impl AtomicRepr for u32 {
    fn to_bits(self) -> u64 {
        self.into()
    }

    fn from_bits(bits: u64) -> Self {
        Self::try_from(bits).unwrap_or(Self::MAX)
    }
}

/// To the nanosecond, up to 584 years.
impl AtomicRepr for Duration {
    fn to_bits(self) -> u64 {
        self.as_nanos().try_into().unwrap_or(u64::MAX)
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_nanos(bits)
    }
}

/// `None` is for ever, and so is what is longer than 584 years.
impl AtomicRepr for Option<Duration> {
    fn to_bits(self) -> u64 {
        self.map_or(u64::MAX, AtomicRepr::to_bits)
    }

    fn from_bits(bits: u64) -> Self {
        (bits != u64::MAX).then(|| Duration::from_nanos(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads_back<T: AtomicRepr + PartialEq + fmt::Debug>(values: impl IntoIterator<Item = T>) {
        for value in values {
            let setting = LiveSetting::new(value);
            assert_eq!(setting.load(), value);
            setting.store(value);
            assert_eq!(setting.load(), value);
        }
    }

    #[test]
    fn a_dial_stands_where_it_was_turned_to() {
        reads_back([0, 1, usize::MAX]);
        reads_back([0, 1, u32::MAX]);
        reads_back([Duration::ZERO, Duration::from_millis(1), Duration::from_secs(1 << 30)]);
        reads_back([None, Some(Duration::ZERO), Some(Duration::from_secs(1 << 30))]);
    }
}
