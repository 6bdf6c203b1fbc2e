//! The limit of connections from one address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The table's capacity never shrinks below this many entries.
const ENTRIES_KEPT: usize = 256;

/// What counts as one address: an IPv4 address, or the /64 network that one IPv6 host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AddrKey {
    V4(u32),
    V6(u64),
}

impl AddrKey {
    /// An IPv4-mapped IPv6 address has the key of its IPv4 address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Open connections by address, counted exactly while there is a limit.
///
/// An entry exists only while one of its connections is open, so `limits.connections` bounds the
/// table. An entry takes 24 bytes, and a large table is at least 7/32 full: at most 115 bytes an entry
/// while it shrinks, 57 after it grew. The hash is keyed at random, so chosen addresses do not collide.
#[derive(Debug)]
pub struct PerAddress {
    /// `usize::MAX` for none.
    limit: AtomicUsize,
    open: Mutex<HashMap<AddrKey, u32>>,
}

/// One counted connection; dropping it takes the count back.
#[derive(Debug)]
pub struct AddressGuard {
    table: Arc<PerAddress>,
    key: AddrKey,
}

/// The limit is reached for this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached;

impl PerAddress {
    /// An empty table; `None` for no limit.
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        let limit = AtomicUsize::new(limit.unwrap_or(usize::MAX));
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Changes the limit. Connections that came while there was none are not counted; those that were
    /// counted stay counted.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<AddrKey, u32>> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection. Returns `None` without a limit, or for a peer without an address, as over a
    /// UNIX socket.
    ///
    /// # Errors
    /// At the limit.
    pub fn acquire(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
    ) -> Result<Option<AddressGuard>, LimitReached> {
        let limit = self.limit.load(Relaxed);
        let Some(peer) = peer.filter(|_| limit != usize::MAX) else { return Ok(None) };
        let key = AddrKey::of(peer.ip());
        let mut open = self.open();
        let count = open.entry(key).or_insert(0);
        if *count as usize >= limit {
            return Err(LimitReached);
        }
        *count += 1;
        Ok(Some(AddressGuard { table: self.clone(), key }))
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut open = self.table.open();
        if let Entry::Occupied(mut entry) = open.entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
                let entries = open.len();
                if open.capacity() > (4 * entries).max(ENTRIES_KEPT) {
                    open.shrink_to(2 * entries);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn peer(text: &str) -> Option<SocketAddr> {
        Some((text.parse::<IpAddr>().expect("an address"), 4711).into())
    }

    #[test]
    fn an_ipv4_address_or_an_ipv6_64_network_counts_as_one() {
        let key = |text| AddrKey::of(peer(text).expect("an address").ip());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("0.0.0.0"), key("::1"));
    }

    #[test]
    fn without_a_limit_and_without_an_address_nothing_is_counted() {
        let table = PerAddress::new(None);
        assert!(matches!(table.acquire(peer("192.0.2.1")), Ok(None)));
        let table = PerAddress::new(Some(1));
        assert!(matches!((table.acquire(None), table.acquire(None)), (Ok(None), Ok(None))));
        assert_eq!(table.open().len(), 0);
    }

    #[test]
    fn the_table_follows_its_entries_up_and_down() {
        const ADDRESSES: u32 = 20_000;
        let table = PerAddress::new(Some(1));
        let acquire = |at| table.acquire(Some((Ipv4Addr::from_bits(at), 0).into()));
        let mut guards: Vec<_> = (0..ADDRESSES).map(|at| acquire(at).expect("room")).collect();
        let bytes = size_of::<(AddrKey, u32)>() + 1;
        let buckets = |table: &PerAddress| table.open().capacity() * 8 / 7;
        assert!(buckets(&table) * bytes <= 64 * ADDRESSES as usize);
        while guards.pop().is_some() {
            let entries = guards.len().max(ENTRIES_KEPT);
            assert!(buckets(&table) <= 5 * entries, "{} for {entries}", buckets(&table));
        }
        assert_eq!(table.open().len(), 0);
    }

    proptest! {
        /// Against a plain list of open connections.
        #[test]
        fn fault_18_counts_are_exact_and_an_entry_ends_with_its_last_connection(
            limit in 1_usize..5,
            events in prop::collection::vec((0_u32..6, any::<Option<prop::sample::Index>>()), 0..200),
        ) {
            let table = PerAddress::new(Some(limit));
            let mut open: Vec<(u32, AddressGuard)> = Vec::new();
            for (key, closes) in events {
                if let Some(closes) = closes.filter(|_| !open.is_empty()) {
                    drop(open.swap_remove(closes.index(open.len())));
                } else {
                    let same_key = open.iter().filter(|(at, _)| *at == key).count();
                    match table.acquire(Some((Ipv4Addr::from_bits(key), 0).into())) {
                        Ok(Some(guard)) => {
                            prop_assert!(same_key < limit);
                            open.push((key, guard));
                        }
                        Ok(None) => prop_assert!(false, "there is a limit and an address"),
                        Err(LimitReached) => prop_assert_eq!(same_key, limit),
                    }
                }
                let mut expected = HashMap::new();
                for (at, _) in &open {
                    *expected.entry(AddrKey::V4(*at)).or_insert(0) += 1;
                }
                prop_assert_eq!(&*table.open(), &expected);
            }
        }
    }
}
