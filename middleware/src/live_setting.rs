//! A layer's parameter that may change while connections use it.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A value of a [`LiveSetting`]: anything that 64 bits tell apart.
pub(crate) trait AtomicRepr: Copy {
    /// Encodes the value in 64 bits.
    fn to_bits(self) -> u64;
    /// Decodes what [`to_bits`](Self::to_bits) returned.
    fn from_bits(bits: u64) -> Self;
}

/// A parameter that layers load when they need it, and that another task may store.
///
/// Shared behind an `Arc` by the connections of a shard, so that a changed setting reaches open ones.
/// *Costs*: a relaxed load of memory that is hardly ever written. A change of several settings is seen
/// whole by the connections of the thread that stores them; those of other threads may see a part of it.
pub(crate) struct LiveSetting<T> {
    bits: AtomicU64,
    value: PhantomData<fn() -> T>,
}

impl<T: AtomicRepr> LiveSetting<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { bits: AtomicU64::new(value.to_bits()), value: PhantomData }
    }

    #[inline]
    pub(crate) fn load(&self) -> T {
        T::from_bits(self.bits.load(Relaxed))
    }

    /// Loads the raw bits now; decoding is left until needed.
    #[inline]
    pub(crate) fn load_raw(&self) -> RawSetting<T> {
        RawSetting { bits: self.bits.load(Relaxed), value: PhantomData }
    }

    pub(crate) fn store(&self, value: T) {
        self.bits.store(value.to_bits(), Relaxed);
    }
}

/// The loaded bits of a [`LiveSetting`]. Half the size of what some values are, and made without
/// arithmetic.
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

impl AtomicRepr for bool {
    fn to_bits(self) -> u64 {
        self.into()
    }

    fn from_bits(bits: u64) -> Self {
        bits != 0
    }
}

/// In nanoseconds, up to 584 years.
impl AtomicRepr for Duration {
    fn to_bits(self) -> u64 {
        self.as_nanos().try_into().unwrap_or(u64::MAX)
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_nanos(bits)
    }
}

/// `None` means no limit, and so does what is longer than 584 years.
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
    fn a_setting_has_the_value_that_was_stored() {
        reads_back([0, 1, usize::MAX]);
        reads_back([0, 1, u32::MAX]);
        reads_back([false, true]);
        reads_back([Duration::ZERO, Duration::from_millis(1), Duration::from_secs(1 << 30)]);
        reads_back([None, Some(Duration::ZERO), Some(Duration::from_secs(1 << 30))]);
    }
}
