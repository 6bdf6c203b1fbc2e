//! Networks, sets of them, and lists with files.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use towline_config::{Network, NetworkList, NetworkSet};
use towline_test_support::TempFile;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_network_is_read_with_its_prefix_and_mistakes_are_named() {
    for (text, printed) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ] {
        assert_eq!(text.parse::<Network>().unwrap().to_string(), printed);
    }
    for (text, problem) in [
        ("10.0.0.1/8", "has bits set behind its prefix (the network is 10.0.0.0/8)"),
        ("2001:db8::1/64", "has bits set behind its prefix (the network is 2001:db8::/64)"),
        ("1.2.3.4/0", "has bits set behind its prefix (the network is 0.0.0.0/0)"),
        ("10.0.0.0/33", "has a prefix that is no number from 0 to 32"),
        ("::/129", "has a prefix that is no number from 0 to 128"),
        ("10.0.0.0/", "has a prefix that is no number from 0 to 32"),
        ("10.0.0.0/+8", "has a prefix that is no number from 0 to 32"),
        ("10.0.0/8", "is no network"),
        ("example.org", "is no network"),
        ("", "is no network"),
    ] {
        assert_eq!(text.parse::<Network>().unwrap_err().to_string(), problem, "{text}");
    }
}

#[test]
fn a_list_has_networks_and_files_and_names_the_line_at_fault() {
    let file = TempFile::new("# ours\n10.0.0.0/8\n\n  2001:db8::/32  # v6\n");
    let list: NetworkList = format!("192.0.2.7, {}", file.name()).parse().unwrap();
    assert_eq!(list.to_string(), format!("192.0.2.7/32,{}", file.name()));
    for (address, is_in) in [
        ("10.255.0.1", true),
        ("::ffff:10.1.1.1", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8:ffff::1", true),
        ("2001:db9::", false),
    ] {
        assert_eq!(list.set().contains(ip(address)), is_in, "{address}");
    }
    let wrong = TempFile::new("10.0.0.0/8\n10.0.0.1/8\n");
    let empty = TempFile::new("# no network\n");
    let absent = TempFile::absent();
    for (text, problem) in [
        (String::new(), "is empty".to_owned()),
        ("10.0.0.0/8,".to_owned(), "has \"\", which is no network".to_owned()),
        (
            wrong.name().to_owned(),
            format!(
                "has the file \"{}\", whose line 2, \"10.0.0.1/8\", has bits set behind its prefix (the \
                 network is 10.0.0.0/8)",
                wrong.name()
            ),
        ),
        (empty.name().to_owned(), "has no network in any of its files".to_owned()),
        (
            absent.name().to_owned(),
            format!(
                "has the file \"{}\", which cannot be read: No such file or directory (os error 2)",
                absent.name()
            ),
        ),
    ] {
        assert_eq!(text.parse::<NetworkList>().unwrap_err().to_string(), problem);
    }
}

#[test]
fn lists_differ_when_the_content_of_a_file_does() {
    let file = TempFile::new("10.0.0.0/8\n");
    let before: NetworkList = file.name().parse().unwrap();
    assert_eq!(before, file.name().parse().unwrap());
    std::fs::write(file.path(), "10.0.0.0/9\n").unwrap();
    let after: NetworkList = file.name().parse().unwrap();
    assert_eq!(before.to_string(), after.to_string());
    assert_ne!(before, after);
}

fn any_network() -> impl Strategy<Value = Network> {
    prop_oneof![
        (any::<u32>(), 0..=32_u32).prop_map(|(bits, prefix)| {
            let bits = bits & u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from(bits))
        }),
        (any::<u128>(), 0..=128_u32).prop_map(|(bits, prefix)| {
            let bits = bits & u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv6Addr::from(bits))
        }),
    ]
    .prop_map(|text| text.parse().unwrap())
}

proptest! {
    #[test]
    fn a_set_has_the_addresses_that_its_networks_have(
        networks in prop::collection::vec(any_network(), 0..20),
        addresses in prop::collection::vec(any::<IpAddr>(), 1..20),
    ) {
        let set: NetworkSet = networks.iter().copied().collect();
        // The ends of each network and their neighbours as well.
        let ends = networks.iter().flat_map(|network| {
            let text = network.to_string();
            let first: IpAddr = text.split('/').next().unwrap().parse().unwrap();
            match first {
                IpAddr::V4(ip) => {
                    [0, 1, u32::MAX].map(|by| IpAddr::V4(ip.to_bits().wrapping_add(by).into()))
                }
                IpAddr::V6(ip) => {
                    [0, 1, u128::MAX].map(|by| IpAddr::V6(ip.to_bits().wrapping_add(by).into()))
                }
            }
        });
        for address in ends.chain(addresses) {
            let expected = networks.iter().any(|network| network.contains(address));
            prop_assert_eq!(set.contains(address), expected, "{}", address);
        }
    }
}
