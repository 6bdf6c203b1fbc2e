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

/// What counts as one place: an IPv4 address, or the /64 network that an IPv6 host has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    V4(u32),
    V6(u64),
}

impl Place {
    /// An IPv4 peer of a socket that speaks both is the same place as one of a socket that doesn't.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Open connections by place, counted exactly while there is a limit.
///
/// An entry is there only while one of its connections is open, so there are never more entries than
/// connections, and `limits.connections` bounds them. An entry takes 24 bytes and the table is at
/// least 7/32 full when it is large: at most 115 bytes while it shrinks, 57 after it grew. The hash
/// is keyed at random, so no choice of addresses makes them collide.
#[derive(Debug)]
pub struct PerAddress {
    /// `usize::MAX` for none.
    limit: AtomicUsize,
    open: Mutex<HashMap<Place, u32>>,
}

/// A connection's mark in the table, gone when dropped.
#[derive(Debug)]
pub struct Mark {
    table: Arc<PerAddress>,
    place: Place,
}

/// The limit of a peer's place is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl PerAddress {
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        let limit = AtomicUsize::new(limit.unwrap_or(usize::MAX));
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Changes the limit. Who came while there was none is not counted; who was counted stays so.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Place, u32>> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection. None is needed without a limit, or for a peer without an address, as
    /// over a UNIX socket.
    pub fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Result<Option<Mark>, Full> {
        let limit = self.limit.load(Relaxed);
        let Some(peer) = peer.filter(|_| limit != usize::MAX) else { return Ok(None) };
        let place = Place::of(peer.ip());
        let mut open = self.open();
        let count = open.entry(place).or_insert(0);
        if *count as usize >= limit {
            return Err(Full);
        }
        *count += 1;
        Ok(Some(Mark { table: self.clone(), place }))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut open = self.table.open();
        if let Entry::Occupied(mut entry) = open.entry(self.place) {
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
        let place = |text| Place::of(peer(text).expect("an address").ip());
        assert_eq!(place("192.0.2.1"), place("::ffff:192.0.2.1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_ne!(place("0.0.0.0"), place("::1"));
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
        const PLACES: u32 = 20_000;
        let table = PerAddress::new(Some(1));
        let enter = |at| table.enter(Some((Ipv4Addr::from_bits(at), 0).into()));
        let mut marks: Vec<_> = (0..PLACES).map(|at| enter(at).expect("room")).collect();
        let bytes = size_of::<(Place, u32)>() + 1;
        let slots = |table: &PerAddress| table.open().capacity() * 8 / 7;
        assert!(slots(&table) * bytes <= 64 * PLACES as usize);
        while marks.pop().is_some() {
            let entries = marks.len().max(ENTRIES_KEPT);
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
            let mut inside: Vec<(u32, Mark)> = Vec::new();
            for (place, leaves) in events {
                if let Some(leaves) = leaves.filter(|_| !inside.is_empty()) {
                    drop(inside.swap_remove(leaves.index(inside.len())));
                } else {
                    let there = inside.iter().filter(|(at, _)| *at == place).count();
                    match table.enter(Some((Ipv4Addr::from_bits(place), 0).into())) {
                        Ok(Some(mark)) => {
                            prop_assert!(there < limit);
                            inside.push((place, mark));
                        }
                        Ok(None) => prop_assert!(false, "there is a limit and an address"),
                        Err(Full) => prop_assert_eq!(there, limit),
                    }
                }
                let mut expected = HashMap::new();
                for (at, _) in &inside {
                    *expected.entry(Place::V4(*at)).or_insert(0) += 1;
                }
                prop_assert_eq!(&*table.open(), &expected);
            }
        }
    }
}
