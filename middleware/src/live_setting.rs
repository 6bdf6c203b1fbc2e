//! A layer's parameter that may be turned while connections use it.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What a [`Dial`] can stand at: anything that 64 bits tell apart.
pub trait Position: Copy {
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
pub struct Dial<T> {
    bits: AtomicU64,
    position: PhantomData<fn() -> T>,
}

impl<T: Position> Dial<T> {
    /// One that stands at `position`.
    pub fn new(position: T) -> Self {
        Self { bits: AtomicU64::new(position.to_bits()), position: PhantomData }
    }

    /// Where it stands.
    #[inline]
    pub fn get(&self) -> T {
        T::from_bits(self.bits.load(Relaxed))
    }

    /// Where it stands now, to be looked at later or never.
    #[inline]
    pub(crate) fn note(&self) -> Noted<T> {
        Noted { bits: self.bits.load(Relaxed), position: PhantomData }
    }

    /// Turns it.
    pub fn set(&self, position: T) {
        self.bits.store(position.to_bits(), Relaxed);
    }
}

/// Where a dial stood. Half the size of what it may be, and made without arithmetic.
#[derive(Debug)]
pub(crate) struct Noted<T> {
    bits: u64,
    position: PhantomData<fn() -> T>,
}

impl<T: Position> Noted<T> {
    pub(crate) fn get(&self) -> T {
        T::from_bits(self.bits)
    }
}

impl<T: Position + fmt::Debug> fmt::Debug for Dial<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Position for usize {
    fn to_bits(self) -> u64 {
        self as u64
    }

    fn from_bits(bits: u64) -> Self {
        Self::try_from(bits).unwrap_or(Self::MAX)
    }
}

impl Position for u32 {
    fn to_bits(self) -> u64 {
        self.into()
    }

    fn from_bits(bits: u64) -> Self {
        Self::try_from(bits).unwrap_or(Self::MAX)
    }
}

/// To the nanosecond, up to 584 years.
impl Position for Duration {
    fn to_bits(self) -> u64 {
        self.as_nanos().try_into().unwrap_or(u64::MAX)
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_nanos(bits)
    }
}

/// `None` is for ever, and so is what is longer than 584 years.
impl Position for Option<Duration> {
    fn to_bits(self) -> u64 {
        self.map_or(u64::MAX, Position::to_bits)
    }

    fn from_bits(bits: u64) -> Self {
        (bits != u64::MAX).then(|| Duration::from_nanos(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads_back<T: Position + PartialEq + fmt::Debug>(positions: impl IntoIterator<Item = T>) {
        for position in positions {
            let dial = Dial::new(position);
            assert_eq!(dial.get(), position);
            dial.set(position);
            assert_eq!(dial.get(), position);
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
