//! How many connections are open from where, and the limit of that.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Room for so many entries is kept whatever happens; beyond that it follows the entries.
const ENTRIES_KEPT: usize = 256;

/// What counts as one key: an IPv4 address, or the /64 network that an IPv6 host has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AddrKey {
    V4(u32),
    V6(u64),
}

impl AddrKey {
    /// An IPv4 peer of a socket that speaks both is the same key as one of a socket that doesn't.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Open connections by key, counted exactly while there is a limit.
///
/// An entry is there only while one of its connections is open, so there are never more entries than
/// connections, and `limits.connections` bounds them. An entry takes 24 bytes and the table is at
/// least 7/32 full when it is large: at most 115 bytes while it shrinks, 57 after it grew. The hash
/// is keyed at random, so no choice of addresses makes them collide.
#[derive(Debug)]
pub struct PerAddress {
    /// `usize::MAX` for none.
    limit: AtomicUsize,
    open: Mutex<HashMap<AddrKey, u32>>,
}

/// A connection's guard in the table, gone when dropped.
#[derive(Debug)]
pub struct AddressGuard {
    table: Arc<PerAddress>,
    key: AddrKey,
}

/// The limit of a peer's key is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached;

impl PerAddress {
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        let limit = AtomicUsize::new(limit.unwrap_or(usize::MAX));
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Changes the limit. Who came while there was none is not counted; who was counted stays so.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<AddrKey, u32>> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection. None is needed without a limit, or for a peer without an address, as
    /// over a UNIX socket.
    pub fn enter(
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
    fn a_place_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
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
        assert!(matches!(table.enter(peer("192.0.2.1")), Ok(None)));
        let table = PerAddress::new(Some(1));
        assert!(matches!((table.enter(None), table.enter(None)), (Ok(None), Ok(None))));
        assert_eq!(table.open().len(), 0);
    }

    #[test]
    fn the_table_follows_its_entries_up_and_down() {
        const ADDRESSES: u32 = 20_000;
        let table = PerAddress::new(Some(1));
        let enter = |at| table.enter(Some((Ipv4Addr::from_bits(at), 0).into()));
        let mut guards: Vec<_> = (0..ADDRESSES).map(|at| enter(at).expect("room")).collect();
        let bytes = size_of::<(AddrKey, u32)>() + 1;
        let slots = |table: &PerAddress| table.open().capacity() * 8 / 7;
        assert!(slots(&table) * bytes <= 64 * ADDRESSES as usize);
        while guards.pop().is_some() {
            let entries = guards.len().max(ENTRIES_KEPT);
            assert!(slots(&table) <= 5 * entries, "{} for {entries}", slots(&table));
        }
        assert_eq!(table.open().len(), 0);
    }

    proptest! {
        /// Against a plain list of who is in.
        #[test]
        fn fault_18_counts_are_exact_and_entries_leave_with_their_last_connection(
            limit in 1_usize..5,
            events in prop::collection::vec((0_u32..6, any::<Option<prop::sample::Index>>()), 0..200),
        ) {
            let table = PerAddress::new(Some(limit));
            let mut inside: Vec<(u32, AddressGuard)> = Vec::new();
            for (key, leaves) in events {
                if let Some(leaves) = leaves.filter(|_| !inside.is_empty()) {
                    drop(inside.swap_remove(leaves.index(inside.len())));
                } else {
                    let there = inside.iter().filter(|(at, _)| *at == key).count();
                    match table.enter(Some((Ipv4Addr::from_bits(key), 0).into())) {
                        Ok(Some(guard)) => {
                            prop_assert!(there < limit);
                            inside.push((key, guard));
                        }
                        Ok(None) => prop_assert!(false, "there is a limit and an address"),
                        Err(LimitReached) => prop_assert_eq!(there, limit),
                    }
                }
                let mut expected = HashMap::new();
                for (at, _) in &inside {
                    *expected.entry(AddrKey::V4(*at)).or_insert(0) += 1;
                }
                prop_assert_eq!(&*table.open(), &expected);
            }
        }
    }
}
