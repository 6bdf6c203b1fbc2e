//! The rates of lines and bytes that the connections of an address have together.

use std::{
    num::NonZeroU32,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;
use towline_config::Limits;
use towline_middleware::{
    connections::PeerAddress,
    rate::{Quota, Quotas, Throttle},
};

use super::{client_limits::ADDRESSES_MAX, per_address::AddrKey};

/// Longest wait of a batch. What an address has sent beyond that is forgiven: its other clients, behind the same
/// address translation, would otherwise wait for as long as it likes.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The rates of addresses, shared by the shards of a process.
#[derive(Debug, Default)]
pub(crate) struct SourceRates(RwLock<Rates>);

#[derive(Debug, Default)]
struct Rates {
    lines: Option<Rate>,
    bytes: Option<Rate>,
}

/// A rate, and what is owed by the addresses that sent last.
#[derive(Debug)]
struct Rate {
    per_second: NonZeroU32,
    quotas: Quotas<AddrKey>,
}

impl SourceRates {
    /// Replaces the rates. An unchanged one keeps what is owed.
    pub(super) fn set_limits(&self, limits: &Limits) {
        let mut rates = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Rates { lines, bytes } = &mut *rates;
        for (rate, limit) in [(lines, limits.lines_per_ip), (bytes, limits.bytes_per_ip)] {
            if rate.as_ref().map(|rate| rate.per_second) != limit {
                *rate = limit.map(|per_second| Rate {
                    per_second,
                    quotas: Quotas::new(Quota::per_second(per_second.get())).at_most(ADDRESSES_MAX),
                });
            }
        }
    }
}

impl Throttle for SourceRates {
    fn take(&self, peer: PeerAddress, frames: u32, bytes: u32) -> Duration {
        // A client over a UNIX socket has no address.
        let PeerAddress::Ip(address) = peer else { return Duration::ZERO };
        let (key, now) = (AddrKey::of(address.ip()), Instant::now());
        // No code that can panic runs under this lock.
        let rates = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let owe = |rate: &Option<Rate>, count| {
            rate.as_ref().map_or(Duration::ZERO, |rate| rate.quotas.owe(&key, count, now, WAIT_MAX))
        };
        owe(&rates.lines, frames).max(owe(&rates.bytes, bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(last: u8) -> PeerAddress {
        PeerAddress::Ip((Ipv4Addr::new(192, 0, 2, last), 4711).into())
    }

    #[tokio::test(start_paused = true)]
    async fn the_slower_rate_of_an_address_holds_and_no_wait_is_longer_than_a_minute() {
        let mut limits = Limits::default();
        (limits.lines_per_ip, limits.bytes_per_ip) = (NonZeroU32::new(10), NonZeroU32::new(1000));
        let rates = SourceRates::default();
        rates.set_limits(&limits);
        assert_eq!(rates.take(peer(1), 10, 900), Duration::ZERO);
        assert_eq!(rates.take(peer(1), 10, 100), SECOND, "by its lines");
        assert_eq!(rates.take(peer(2), 1, 6000), 5 * SECOND, "by its bytes");
        rates.set_limits(&limits);
        assert_eq!(rates.take(peer(2), 1, 1000), 6 * SECOND, "nothing is forgotten");
        assert_eq!(rates.take(peer(2), 1000, 1), WAIT_MAX);
        assert_eq!(rates.take(peer(2), 1000, 1), WAIT_MAX);
        assert_eq!(rates.take(PeerAddress::Unix, 1000, 1), Duration::ZERO);
    }
}
