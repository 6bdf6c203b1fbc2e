//! The rate of one connection.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::gcra::{Gcra, units};

/// How often something may happen: a rate, and how much of it may come at once.
///
/// *Does*: counts what is [taken](Self::take) against the rate, at any time that the caller names. *Does not*:
/// read a clock, wait, or have a timer. *Goes*: into the state of a connection, which is `&mut`; what many
/// connections share, such as the rate of an address, is in [`Quotas`](super::Quotas). *Costs*: 16 bytes,
/// and some nanoseconds for each call.
///
/// A clone has the same rate, and begins with what was taken so far.
///
/// # Exactness
/// A rate is never exceeded: in any stretch of time at most the burst and the rate times that stretch are taken.
/// It may fall short of the rate: by at most one part in 33 million up to 238 per second, and above that by a
/// sixteenth of a nanosecond for each, which is one part in 16,000 at a million per second. An interval of whole
/// nanoseconds below 4 ms, and every rate that divides a second by a product of twos and fives, is exact.
///
/// # Extremes
/// - A rate of 0 or a burst of 0 lets nothing through.
/// - More than the burst at once never gets through: the time to wait is [`Duration::MAX`].
/// - A rate without a period, `per(Duration::ZERO, 1)`, has no limit but the burst at once.
/// - A time before that of an earlier call gives nothing back and takes nothing away.
/// - A rate of less than one in 27 years is a rate of 0, and no burst takes longer than that to be full again.
///
/// In a [`Router`](crate::router::Router) a quota is checked by a guard:
///
/// ```
/// use std::time::Duration;
/// use tokio::time::Instant;
/// use towline_middleware::{
///     protocol::Lf,
///     rate::Quota,
///     reply::{Args, ReplyError},
///     router::{Router, RouterError},
///     session::Cx,
/// };
///
/// struct Device {
///     quota: Quota,
/// }
///
/// fn within_its_rate(device: &mut Device, _: Args<'_>, cx: &mut Cx<'_, Lf>) -> Result<(), ReplyError> {
///     device.quota.take(cx.now()).map_err(|_wait| ReplyError::new("too fast"))
/// }
///
/// # fn main() -> Result<(), RouterError> {
/// let routes = Router::<Lf, Device>::new()
///     .before(within_its_rate)
///     .command("PING", |_: &mut Device, _: Args<'_>| "PONG")
///     .build()?;
/// # let _ = routes;
///
/// let mut quota = Quota::per_second(100).burst(2);
/// let now = Instant::now();
/// assert_eq!((quota.take(now), quota.take(now)), (Ok(()), Ok(())));
/// assert_eq!(quota.take(now), Err(Duration::from_millis(10)));
/// assert_eq!(quota.take(now + Duration::from_millis(10)), Ok(()));
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Quota {
    gcra: Gcra,
    full_at: u64,
}

impl Quota {
    /// `count` per second, evenly, and as many at once.
    pub const fn per_second(count: u32) -> Self {
        Self::per(Duration::from_secs(1), count)
    }

    /// `count` per minute, evenly, and as many at once.
    pub const fn per_minute(count: u32) -> Self {
        Self::per(Duration::from_secs(60), count)
    }

    /// `count` per `period`, evenly, and as many at once.
    pub const fn per(period: Duration, count: u32) -> Self {
        Self { gcra: Gcra::new(period, count, count), full_at: 0 }
    }

    /// How many may come at once after a pause. Default: as many as in one period.
    #[must_use]
    pub const fn burst(self, count: u32) -> Self {
        Self { gcra: self.gcra.with_burst(count), ..self }
    }

    /// Takes one, at the time `now`.
    ///
    /// # Errors
    /// The time until one is available, if nothing else is taken meanwhile. Nothing is taken.
    #[inline]
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.take_n(1, now)
    }

    /// Takes `count`, or nothing. Taking 0 always succeeds.
    ///
    /// # Errors
    /// The time until `count` are available, if nothing else is taken meanwhile; [`Duration::MAX`] if they never
    /// will be.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    /// use towline_middleware::rate::Quota;
    ///
    /// let mut bytes = Quota::per_second(1000).burst(4096);
    /// let now = Instant::now();
    /// assert_eq!(bytes.take_n(4000, now), Ok(()));
    /// assert_eq!(bytes.take_n(100, now), Err(Duration::from_millis(4)));
    /// assert_eq!(bytes.take_n(5000, now), Err(Duration::MAX));
    /// ```
    #[inline]
    pub fn take_n(&mut self, count: u32, now: Instant) -> Result<(), Duration> {
        self.full_at = self.gcra.take(self.full_at, units(now), count)?;
        Ok(())
    }

    /// Takes as many as are available, at most `count`, and returns how many.
    ///
    /// ```
    /// use tokio::time::Instant;
    /// use towline_middleware::rate::Quota;
    ///
    /// let mut quota = Quota::per_minute(5);
    /// assert_eq!(quota.take_up_to(3, Instant::now()), 3);
    /// assert_eq!(quota.take_up_to(3, Instant::now()), 2);
    /// ```
    #[inline]
    pub fn take_up_to(&mut self, count: u32, now: Instant) -> u32 {
        let (taken, full_at) = self.gcra.take_up_to(self.full_at, units(now), count);
        self.full_at = full_at;
        taken
    }

    /// Returns the time until one is available, without taking it; zero if one is.
    pub fn wait(&self, now: Instant) -> Duration {
        self.gcra.take(self.full_at, units(now), 1).err().unwrap_or_default()
    }

    pub(super) const fn into_gcra(self) -> Gcra {
        self.gcra
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gcra.fmt(f)
    }
}
