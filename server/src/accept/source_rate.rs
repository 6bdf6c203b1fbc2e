//! The limit of accepted connections per second from one address.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    num::NonZeroU32,
};

use tokio::time::Instant;

use super::{per_address::AddrKey, rate::TokenBucket};

/// Addresses that are remembered, in sets of [`WAYS`].
const SETS: usize = 8192;
const WAYS: usize = 8;

/// Token buckets of the addresses that connected last.
///
/// The table has a fixed size: 3 MiB, for 65,536 addresses. A new address takes the cell of its set whose bucket is
/// the fullest, so an address that connects often is forgotten last, and one that is forgotten starts with a full
/// bucket. The hash is keyed at random, so that sets cannot be aimed at.
#[derive(Debug)]
pub(super) struct SourceRates {
    rate: NonZeroU32,
    sets: Box<[[Option<Source>; WAYS]]>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    key: AddrKey,
    bucket: TokenBucket,
}

impl SourceRates {
    pub(super) fn new(rate: NonZeroU32) -> Self {
        Self { rate, sets: vec![[None; WAYS]; SETS].into(), hasher: RandomState::new() }
    }

    /// Takes a token of the peer's address; returns false if it has none. A peer without an address needs none.
    pub(super) fn try_take(&mut self, peer: Option<SocketAddr>, now: Instant) -> bool {
        let Some(peer) = peer else { return true };
        let key = AddrKey::of(peer.ip());
        let set = &mut self.sets[self.hasher.hash_one(key) as usize % SETS];
        let fullness = |cell: &Option<Source>| match cell {
            Some(source) if source.key == key => (0, None),
            None => (1, None),
            Some(source) => (2, Some(source.bucket.full_at())),
        };
        let Some(cell) = set.iter_mut().min_by_key(|cell| fullness(cell)) else { return true };
        let known = cell.filter(|source| source.key == key);
        let mut bucket = known
            .map_or_else(|| TokenBucket::per_second(self.rate.get(), now), |known| known.bucket);
        let taken = bucket.try_take(now);
        *cell = Some(Source { key, bucket });
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn peer(bits: u32) -> Option<SocketAddr> {
        Some((Ipv4Addr::from_bits(bits), 4711).into())
    }

    #[test]
    fn each_address_has_a_rate_of_its_own() {
        let start = Instant::now();
        let mut rates = SourceRates::new(3.try_into().expect("not zero"));
        let mut taken = |bits, at| {
            (0..5).filter(|_| rates.try_take(peer(bits), start + Duration::from_millis(at))).count()
        };
        assert_eq!(taken(1, 0), 3, "a second's worth at once");
        assert_eq!(taken(2, 0), 3);
        assert_eq!(taken(1, 400), 1);
        assert_eq!(taken(1, 5_000), 3);
        assert!((0..10).all(|_| rates.try_take(None, start)), "it has no address");
    }

    #[test]
    fn many_addresses_do_not_make_one_that_connects_often_forgotten() {
        let start = Instant::now();
        let mut rates = SourceRates::new(2.try_into().expect("not zero"));
        let mut admitted = 0;
        for other in 1..200_000 {
            admitted += usize::from(rates.try_take(peer(0), start));
            assert!(rates.try_take(peer(other), start), "its first");
        }
        assert_eq!(admitted, 2);
    }
}
