//! The parser of PROXY headers: every cut, what is refused, and beside another implementation.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{fs, net::SocketAddr, path::Path};

use proptest::prelude::*;
use towline::internal::proxy_protocol::{
    Endpoint, Parsed, Proxied, ProxyError, V2_BYTES_MAX, check_laws, parse,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

/// Addresses of version 2 with the family that they need.
fn addresses(source: SocketAddr, destination: SocketAddr) -> (u8, Vec<u8>) {
    let ip = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let ports = [source.port(), destination.port()].map(u16::to_be_bytes);
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    (family, [ip(source), ip(destination), ports.concat()].concat())
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

#[track_caller]
fn header(bytes: &[u8]) -> Proxied {
    check_laws(&[bytes, b"PROXY and the rest\n"].concat());
    match parse(bytes) {
        Ok(Parsed::Header(header, length)) => {
            assert_eq!(length, bytes.len());
            *header
        }
        other => panic!("{other:?}"),
    }
}

fn ip(text: &str) -> Option<Endpoint> {
    Some(Endpoint::Ip(text.parse().unwrap()))
}

#[test]
fn version_1_says_the_ends_of_a_connection() {
    let v4 = header(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
    assert_eq!((v4.source, v4.destination), (ip("192.0.2.1:56324"), ip("198.51.100.2:443")));
    let v6 = header(b"PROXY TCP6 2001:db8::1 ffff:f:f:f:f:f:f:f 0 65535\r\n");
    assert_eq!(v6.source, ip("[2001:db8::1]:0"));
    assert_eq!(header(b"PROXY UNKNOWN\r\n"), Proxied::default());
    assert_eq!(header(b"PROXY UNKNOWN what ever it says \xe2\x82\xac\r\n"), Proxied::default());
    let longest = [&b"PROXY UNKNOWN "[..], &[b'f'; 91], b"\r\n"].concat();
    assert_eq!((longest.len(), header(&longest)), (107, Proxied::default()));
}

#[test]
fn version_2_says_the_ends_of_a_connection() {
    for (source, destination) in
        [("192.0.2.1:56324", "198.51.100.2:443"), ("[2001:db8::1]:1", "[::ffff:1.2.3.4]:65535")]
    {
        let (family, body) = addresses(source.parse().unwrap(), destination.parse().unwrap());
        let said = header(&v2(0x21, family, &body));
        assert_eq!((said.source, said.destination), (ip(source), ip(destination)));
    }
    let mut body = vec![0; 216];
    body[..6].copy_from_slice(b"/run/a");
    let said = header(&v2(0x21, 0x31, &body));
    assert_eq!(said.source, Some(Endpoint::Unix("/run/a".into())));
    assert_eq!(said.source_address(), None);
    assert_eq!(header(&v2(0x21, 0x00, b"anything")), Proxied::default());
    let local = header(&v2(0x20, 0x11, b""));
    assert!(local.local && local.source.is_none());
}

#[test]
fn the_facts_of_version_2_are_read_and_its_checksum_is_checked() {
    let (family, body) =
        addresses("192.0.2.1:1".parse().unwrap(), "198.51.100.2:2".parse().unwrap());
    let ssl = [
        &b"\x05\0\0\0\0"[..],
        &tlv(0x21, b"TLSv1.3"),
        &tlv(0x22, b"device 7"),
        &tlv(0x23, b"TLS_AES_128_GCM_SHA256"),
        &tlv(0x24, b"not used"),
    ]
    .concat();
    // By an independent implementation: that of the corpus, with the same facts.
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/proxy/v2-facts");
    for facts in [
        v2(
            0x21,
            family,
            &[&body[..], &tlv(5, b"id-1"), &tlv(2, b"example.org"), &tlv(0x20, &ssl)].concat(),
        ),
        fs::read(corpus).unwrap(),
    ] {
        let said = header(&facts);
        assert_eq!(said.unique_id.as_deref(), Some(&b"id-1"[..]));
        assert_eq!(said.authority.as_deref(), Some("example.org"));
        let tls = said.tls.unwrap();
        assert!(tls.verified);
        assert_eq!(
            [tls.version.as_deref(), tls.common_name.as_deref(), tls.cipher.as_deref()],
            [Some("TLSv1.3"), Some("device 7"), Some("TLS_AES_128_GCM_SHA256")]
        );
    }
    let unverified = [&b"\x05\0\0\0\x01"[..], &tlv(0x21, b"TLSv1.2")].concat();
    let said = header(&v2(0x21, family, &[&body[..], &tlv(0x20, &unverified)].concat()));
    assert!(!said.tls.unwrap().verified);
    let wrong = |facts: &[u8]| {
        let bytes = v2(0x21, family, &[&body[..], facts].concat());
        check_laws(&bytes);
        parse(&bytes).unwrap_err()
    };
    assert_eq!(wrong(&tlv(3, &[1, 2, 3, 4])), ProxyError::WrongChecksum);
    assert_eq!(wrong(&tlv(3, &[1, 2, 3])), ProxyError::MalformedTlv(3));
    assert_eq!(wrong(b"\x04"), ProxyError::MalformedTlv(4));
    assert_eq!(wrong(b"\x05\xff\xffid"), ProxyError::MalformedTlv(5));
    assert_eq!(wrong(&tlv(5, &[7; 129])), ProxyError::MalformedTlv(5));
    assert_eq!(wrong(&tlv(2, b"a\nb")), ProxyError::MalformedTlv(2));
    assert_eq!(wrong(&tlv(0x20, &[1])), ProxyError::MalformedTlv(0x20));
}

#[test]
fn what_begins_as_a_header_and_is_none_is_an_error_with_the_reason() {
    let long = [&b"PROXY UNKNOWN "[..], &[b'f'; 93]].concat();
    let too_long = [SIGNATURE, &[0x21, 0x11], &4097_u16.to_be_bytes()].concat();
    let cases: [(&[u8], ProxyError, &str); 15] = [
        (&long, ProxyError::LineTooLong, "has no end within 107 bytes"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", ProxyError::MalformedLine, "is malformed"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", ProxyError::MalformedLine, "is malformed"),
        (b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", ProxyError::MalformedLine, "is malformed"),
        (b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", ProxyError::MalformedLine, "is malformed"),
        (b"PROXY \xff\r\n", ProxyError::MalformedLine, "is malformed"),
        (b"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", ProxyError::MalformedAddress, "address or port"),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", ProxyError::MalformedAddress, "address or port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", ProxyError::MalformedAddress, "address or port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", ProxyError::MalformedAddress, "address or port"),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            ProxyError::MalformedAddress,
            "address or port",
        ),
        (&too_long, ProxyError::TooLong(4097), "is 4097 bytes long, more than 4096"),
        (&v2(0x11, 0x11, &[0; 12]), ProxyError::Unknown(0x11), "0x11"),
        (&v2(0x21, 0x41, &[0; 12]), ProxyError::Unknown(0x41), "0x41"),
        (&v2(0x21, 0x21, &[0; 35]), ProxyError::TooShort(35), "has 35 bytes, too few"),
    ];
    for (bytes, error, words) in cases {
        check_laws(bytes);
        assert_eq!(parse(bytes), Err(error), "{}", bytes.escape_ascii());
        assert!(error.to_string().contains(words), "{error}");
    }
    for no_header in [&b"hello\n"[..], b"PROXYING\n", b"\r\n\r\n\0\r\nQUIT", b"\r\n\r\nGET", b""] {
        let is_beginning = SIGNATURE.starts_with(no_header);
        let expected = if is_beginning { Parsed::Incomplete } else { Parsed::Absent };
        assert_eq!(parse(no_header), Ok(expected), "{}", no_header.escape_ascii());
    }
}

#[test]
fn the_longest_header_is_taken_and_none_beyond() {
    let (family, body) = addresses("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
    let filler = tlv(4, &vec![0; V2_BYTES_MAX - body.len() - 3]);
    header(&v2(0x21, family, &[body, filler].concat()));
}

#[test]
fn every_input_of_the_corpus_keeps_the_laws() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/proxy");
    let inputs: Vec<_> = fs::read_dir(corpus).unwrap().collect();
    assert!(inputs.len() > 10);
    for input in inputs {
        check_laws(&fs::read(input.unwrap().path()).unwrap());
    }
}

/// What another implementation reads; `None` if it reads no addresses.
fn oracle(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    if bytes.starts_with(b"PROXY") {
        return match ppp::v1::Header::try_from(bytes).ok()?.addresses {
            ppp::v1::Addresses::Tcp4(ends) => Some((
                (ends.source_address, ends.source_port).into(),
                (ends.destination_address, ends.destination_port).into(),
            )),
            ppp::v1::Addresses::Tcp6(ends) => Some((
                (ends.source_address, ends.source_port).into(),
                (ends.destination_address, ends.destination_port).into(),
            )),
            ppp::v1::Addresses::Unknown => None,
        };
    }
    match ppp::v2::Header::try_from(bytes).ok()?.addresses {
        ppp::v2::Addresses::IPv4(ends) => Some((
            (ends.source_address, ends.source_port).into(),
            (ends.destination_address, ends.destination_port).into(),
        )),
        ppp::v2::Addresses::IPv6(ends) => Some((
            (ends.source_address, ends.source_port).into(),
            (ends.destination_address, ends.destination_port).into(),
        )),
        _ => None,
    }
}

fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop_oneof![
        (any::<std::net::SocketAddrV4>(), any::<std::net::SocketAddrV4>())
            .prop_map(|(one, other)| (SocketAddr::V4(one), SocketAddr::V4(other))),
        (any::<std::net::SocketAddrV6>(), any::<std::net::SocketAddrV6>())
            .prop_map(|(one, other)| (SocketAddr::V6(one), SocketAddr::V6(other))),
    ];
    (ends, any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(
        |((source, destination), text, id)| {
            if text {
                let family = if source.is_ipv4() { 4 } else { 6 };
                let (from, to) = (source.ip(), destination.ip());
                let (from_port, to_port) = (source.port(), destination.port());
                format!("PROXY TCP{family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
            } else {
                let (family, body) = addresses(source, destination);
                v2(0x21, family, &[body, tlv(5, &id)].concat())
            }
        },
    )
}

proptest! {
    #[test]
    fn headers_are_read_as_another_implementation_reads_them(bytes in any_header()) {
        let said = header(&bytes);
        let ends = said.source_address().zip(said.destination.and_then(|end| end.ip()));
        prop_assert!(ends.is_some());
        prop_assert_eq!(ends, oracle(&bytes));
    }

    #[test]
    fn damaged_headers_keep_the_laws(
        mut bytes in any_header(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_laws(&bytes);
    }

    #[test]
    fn any_bytes_keep_the_laws(
        start in prop::sample::select(vec![&b""[..], SIGNATURE, b"PROXY ", b"PROXY TCP4 "]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check_laws(&[start, &bytes].concat());
    }
}
