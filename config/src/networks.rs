//! Sets of networks: which addresses may connect, and which may not.

use std::{fmt, net::IpAddr};

/// An IPv4 or IPv6 network in CIDR notation. `Display` is that notation.
///
/// ```
/// use towline_config::Network;
///
/// let network: Network = "192.0.2.0/24".parse()?;
/// assert!(network.contains("192.0.2.7".parse().unwrap()));
/// assert!(network.contains("::ffff:192.0.2.7".parse().unwrap()), "an IPv4 address as IPv6");
/// assert!("192.0.2.1/24".parse::<Network>().is_err(), "bits behind the prefix are a mistake");
/// # Ok::<(), towline_config::ValueError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether an address is in the network. An IPv4-mapped IPv6 address is its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, last) = self.bounds();
        match (first, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                (first..=last).contains(&address.to_canonical())
            }
            _ => false,
        }
    }

    /// The first and the last address.
    fn bounds(&self) -> (IpAddr, IpAddr) {
        let last = match self.address {
            IpAddr::V4(first) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                IpAddr::V4((first.to_bits() | host).into())
            }
            IpAddr::V6(first) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                IpAddr::V6((first.to_bits() | host).into())
            }
        };
        (self.address, last)
    }
}

impl std::str::FromStr for Network {
    type Err = crate::ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: String| Err(crate::ValueError::new(what));
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return wrong("is no network".to_owned());
        };
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix.map(|text| text.parse::<u8>().ok().filter(|_| digits(text))) {
            None => bits,
            Some(Some(prefix)) if prefix <= bits => prefix,
            Some(_) => return wrong(format!("has a prefix that is no number from 0 to {bits}")),
        };
        let network = Self { address, prefix };
        let mask =
            |ip: u128, width: u8| ip & u128::MAX.checked_shl((width - prefix).into()).unwrap_or(0);
        let first: IpAddr = match address {
            IpAddr::V4(ip) => (mask(ip.to_bits().into(), 32) as u32).to_be_bytes().into(),
            IpAddr::V6(ip) => mask(ip.to_bits(), 128).to_be_bytes().into(),
        };
        if first != address {
            let meant = Self { address: first, prefix };
            return wrong(format!("has bits set behind its prefix (the network is {meant})"));
        }
        Ok(match (network.address.to_canonical(), prefix) {
            // Its addresses come as IPv4.
            (IpAddr::V4(address), 96..) if network.address.is_ipv6() => {
                Self { address: address.into(), prefix: prefix - 96 }
            }
            _ => network,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A set of networks, for fast lookups.
///
/// *Costs*: a binary search of ranges that do not overlap, some tens of nanoseconds with 100,000 of them; 8 bytes a
/// range of IPv4, 16 of IPv6 up to /64, and 32 of longer prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSet {
    v4: Ranges<u32>,
    /// Networks up to /64, by the upper half of their addresses: half as much memory to search, and nearly all.
    v6_upper: Ranges<u64>,
    v6_long: Ranges<u128>,
}

/// Ranges in order, none of which touches another. The ends apart, so that a search reads half as much memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges<T> {
    first: Vec<T>,
    last: Vec<T>,
}

impl NetworkSet {
    /// Whether any of the networks has this address. An IPv4-mapped IPv6 address is its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                self.v6_upper.contains((bits >> 64) as u64) || self.v6_long.contains(bits)
            }
        }
    }

    /// Whether there is no network.
    pub const fn is_empty(&self) -> bool {
        self.v4.last.is_empty() && self.v6_upper.last.is_empty() && self.v6_long.last.is_empty()
    }
}

impl FromIterator<Network> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let (mut v4, mut v6_upper, mut v6_long) = (Vec::new(), Vec::new(), Vec::new());
        for network in networks {
            match network.bounds() {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                (IpAddr::V6(first), IpAddr::V6(last)) if network.prefix <= 64 => {
                    let upper = |ip: std::net::Ipv6Addr| (ip.to_bits() >> 64) as u64;
                    v6_upper.push((upper(first), upper(last)));
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    v6_long.push((first.to_bits(), last.to_bits()));
                }
                _ => {}
            }
        }
        Self {
            v4: Ranges::merged(v4, |last| last.checked_add(1)),
            v6_upper: Ranges::merged(v6_upper, |last| last.checked_add(1)),
            v6_long: Ranges::merged(v6_long, |last| last.checked_add(1)),
        }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    fn merged(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Self {
        ranges.sort_unstable();
        let mut merged = Self { first: Vec::new(), last: Vec::new() };
        for (first, last) in ranges {
            match merged.last.last_mut() {
                Some(end) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
                _ => {
                    merged.first.push(first);
                    merged.last.push(last);
                }
            }
        }
        merged
    }

    fn contains(&self, value: T) -> bool {
        let behind = self.first.partition_point(|first| *first <= value);
        behind.checked_sub(1).is_some_and(|at| value <= self.last[at])
    }
}
