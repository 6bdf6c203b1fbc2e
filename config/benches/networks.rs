//! What a lookup costs in an allow or deny list, by its length.

#![allow(missing_docs, reason = "criterion's macros")]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use criterion::{Criterion, criterion_group, criterion_main};
use towline_config::{Network, NetworkSet};

/// Spreads numbers over all addresses: an odd factor, so that no two are alike.
const SPREAD_32: u32 = 0x9e37_79b1;
const SPREAD_128: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

fn v4(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(n.wrapping_mul(SPREAD_32)).into()
}

fn v6(n: u32) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(n).wrapping_mul(SPREAD_128)).into()
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("networks");
    for (family, address) in [("v4", v4 as fn(u32) -> IpAddr), ("v6", v6)] {
        for networks in [10, 1_000, 100_000, 1_000_000] {
            // Of IPv6 the networks of sites.
            let network = |n| match address(n) {
                IpAddr::V6(ip) => {
                    let site = Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80);
                    format!("{site}/48").parse::<Network>().ok()
                }
                ip => ip.to_string().parse().ok(),
            };
            let set: NetworkSet = (0..networks).filter_map(network).collect();
            let mut n = 0_u32;
            group.bench_function(format!("lookup/{family}/{networks}"), |b| {
                b.iter(|| {
                    n = n.wrapping_add(7_919);
                    // Every second one is in the list.
                    set.contains(black_box(address(n % (2 * networks))))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
