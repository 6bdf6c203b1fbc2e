//! The source addresses of connections.
//!
//! A connection is identified by source address, source port, target address and target port, so from
//! one source address there are at most as many connections to a target as there are local ports.
//! Loopback has 16 million addresses; elsewhere the host must own the addresses that it uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::TargetAddr;
use crate::error::LoadError;
use crate::host;

/// The number of source addresses that one run uses at most.
const ADDRESSES_MAX: u128 = 65_536;

/// Which source addresses connections use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceAddrs {
    /// The kernel's choice. To IPv4 loopback, as many of 127.0.0.0/8 as the number of ports makes
    /// necessary.
    Auto,
    /// All addresses of these ranges (address and prefix length), in turn.
    Ranges(Vec<(IpAddr, u8)>),
}

impl SourceAddrs {
    /// Parses `auto`, or a list such as `127.0.0.0/24,10.0.0.5`.
    ///
    /// # Errors
    /// When an entry is neither an address nor a range in CIDR form.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.split(',').map(range).collect::<Result<_, _>>().map(Self::Ranges)
    }

    /// The addresses for `connections`; an empty list leaves the choice to the kernel.
    pub(crate) fn addresses(
        &self,
        targets: &[TargetAddr],
        connections: u32,
    ) -> Result<Vec<IpAddr>, LoadError> {
        let ranges = match self {
            Self::Auto => return Ok(loopback(targets, connections)),
            Self::Ranges(ranges) => ranges,
        };
        let addresses = targets.iter().filter_map(|target| match target {
            TargetAddr::Tcp { address, .. } => Some(address),
            TargetAddr::Unix(_) => None,
        });
        let mut all = Vec::new();
        for (base, prefix) in ranges {
            if let Some(other) = addresses.clone().find(|a| a.is_ipv4() != base.is_ipv4()) {
                return Err(LoadError::usage(format!(
                    "source {base} cannot reach {other}: expected an address of the same family"
                )));
            }
            let left = u128::from(connections).min(ADDRESSES_MAX) - all.len() as u128;
            all.extend(hosts(*base, *prefix).take(left as usize));
        }
        Ok(all)
    }
}

/// Loopback addresses for `connections`, each with two fifths of its ports used. The kernel tries every
/// second port first; once those are taken each connect searches thousands of ports, and the rate of
/// 20,000 connects from one address falls to a fifth.
fn loopback(targets: &[TargetAddr], connections: u32) -> Vec<IpAddr> {
    let each = (host::local_ports() / 5 * 2).max(1);
    if !targets.iter().all(TargetAddr::is_ipv4_loopback) || connections <= each {
        return Vec::new();
    }
    let base = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0));
    hosts(base, 8).take(connections.div_ceil(each) as usize).collect()
}

fn range(entry: &str) -> Result<(IpAddr, u8), LoadError> {
    let (base, prefix) = entry.split_once('/').map_or((entry, None), |(b, p)| (b, Some(p)));
    let parsed = base.parse::<IpAddr>().ok().and_then(|base| {
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(bits), |p| p.parse().ok())?;
        (prefix <= bits).then_some((base, prefix))
    });
    parsed.ok_or_else(|| {
        LoadError::usage(format!(
            "`{entry}` is not a source: expected `auto`, an address or a range such as 127.0.0.0/24"
        ))
    })
}

/// The addresses of a range without its first and last, the network and broadcast addresses. Ranges of
/// one or two addresses have neither.
fn hosts(base: IpAddr, prefix: u8) -> impl Iterator<Item = IpAddr> {
    let (bits, value) = match base {
        IpAddr::V4(v4) => (32, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => (128, u128::from(v6)),
    };
    let free = bits - u32::from(prefix);
    let mask = if free >= 128 { u128::MAX } else { (1 << free) - 1 };
    let first = value & !mask;
    let (from, to) = if free < 2 { (0, mask) } else { (1, mask - 1) };
    (from..=to).map(move |host| match base {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from((first + host) as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(first + host)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> [TargetAddr; 1] {
        [TargetAddr::resolve("127.0.0.1:9000").unwrap()]
    }

    #[test]
    fn ranges_leave_out_the_network_and_broadcast_addresses() {
        let listed = SourceAddrs::parse("127.0.1.0/30,127.0.2.9").unwrap();
        let all = listed.addresses(&target(), 1000).unwrap();
        let text: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["127.0.1.1", "127.0.1.2", "127.0.2.9"]);
    }

    #[test]
    fn auto_binds_only_when_the_ports_run_short() {
        assert!(SourceAddrs::Auto.addresses(&target(), 100).unwrap().is_empty());
        assert!(SourceAddrs::Auto.addresses(&target(), 200_000).unwrap().len() >= 3);
    }

    #[test]
    fn text_other_than_addresses_and_ranges_is_refused() {
        for bad in ["", "localhost", "127.0.0.1/33", "1.2.3"] {
            assert!(SourceAddrs::parse(bad).is_err(), "{bad}");
        }
        let other = SourceAddrs::parse("::1").unwrap();
        assert!(other.addresses(&target(), 1).is_err());
    }
}
